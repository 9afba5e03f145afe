// A ledger's sums as text for a terminal, as JSON and as a page.
#pragma once

#include <string>

#include "base/json.h"
#include "store/summary.h"

namespace tack {

struct LedgerReport {
  std::string ledger;  // its path
  store::Period period;
  store::Report report;
};

std::string ledger_text(const LedgerReport& report);
Json ledger_json(const LedgerReport& report);
std::string ledger_page(const LedgerReport& report);

}  // namespace tack
