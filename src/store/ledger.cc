#include "store/ledger.h"

#include <algorithm>
#include <cmath>

namespace tack::store {

Nano Price::cost(const TokenUse& use) const {
  const std::int64_t cached = std::clamp<std::int64_t>(use.cached, 0, use.prompt);
  // A price per million tokens is a thousand billionths a token.
  const double thousandths = static_cast<double>(use.prompt - cached) * input +
                             static_cast<double>(cached) * cached_input.value_or(input) +
                             static_cast<double>(use.completion) * output;
  return std::llround(thousandths * 1000);
}

Nano CallRecord::cost() const {
  Nano sum = 0;
  for (const Attempt& attempt : attempts) sum += attempt.cost;
  return sum;
}

}  // namespace tack::store
