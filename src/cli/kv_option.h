// The option --kv of verbs that run decoders.
#pragma once

#include <string>
#include <string_view>

#include "cli/command.h"
#include "kernels/cached_attention.h"

namespace tack {

inline void add_kv_option(Command& verb, std::string& kv) {
  kv = "f16";
  verb.option("--kv", kv, "Of a decoder: how keys and values are kept")
      .one_of({"f32", "f16", "q8_0"})
      .show_default();
}

// Of what the option takes.
inline kernels::KvType kv_type(std::string_view kv) {
  return kv == "f32"    ? kernels::KvType::kF32
         : kv == "q8_0" ? kernels::KvType::kQ8_0
                        : kernels::KvType::kF16;
}

}  // namespace tack
