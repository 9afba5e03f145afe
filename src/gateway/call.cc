#include "gateway/call.h"

namespace tack::gateway {

std::string_view endpoint(Operation operation) {
  switch (operation) {
    case Operation::kChat:
      return "/v1/chat/completions";
    case Operation::kCompletion:
      return "/v1/completions";
    case Operation::kEmbeddings:
      return "/v1/embeddings";
  }
  return "";
}

}  // namespace tack::gateway
