#include "guard/homoglyphs.h"

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

#include "text/unicode.h"

namespace tack::guard {
namespace {

// Pairs: the lookalike, then the Latin letter. Only those that are hard to tell in common fonts.
constexpr std::string_view kScripts =
    // Cyrillic
    "аaвbеeкkмmнhоoпnрpсcтtуyхxьbѕsіiїijjԁdԛqԝwһhӏlёeгrѵvҽeԍgүyұyѡw"
    "АAВBЕEКKМMНHОOРPСCТTУYХXЅSІIЇIЈJԚQԜWҺHӀIЁEҮYѴV"
    // Greek
    "αaβbεeηnιiκkνvοoρpτtυuχxωwγyσoς"
    "cϲcϳj"
    "ΑAΒBΕEΖZΗHΙIΚKΜMΝNΟOΡPΤTΥYΧX"
    // Armenian
    "օoոnսuհhցgզqյjքpաwգqղnՕOՍUԼLՏS"
    // Cherokee
    "ᎪAᎠDᎡRᎢTᎥiᏔWᎷMᎬEᎫJᏚSᏞLᏟCᏢPᏦKᏀGᏴBᎻHᏃZᏙVᎩyᏆI"
    // Lisu
    "ꓐBꓑPꓓDꓔTꓖGꓗKꓙJꓚCꓜZꓝFꓟMꓠNꓡLꓢSꓣRꓦVꓧHꓪWꓫXꓬYꓮAꓰEꓲIꓳOꓴU";
constexpr std::string_view kAlways =
    "ıiȷjɑaɡgɩiɪiʟlɴnʀrʏyʜhʙbɢgᴀaᴄcᴅdᴇeꜰfᴊjᴋkᴍmᴏoᴘpꜱsᴛtᴜuᴠvᴡwᴢzɛeʋvɾrɯw";

using Table = std::vector<std::pair<std::int32_t, Lookalike>>;

void add(Table& table, std::string_view pairs, bool always) {
  while (!pairs.empty()) {
    const CodePoint c = first_code_point(pairs);
    table.push_back({c.value, {pairs[c.bytes], always}});
    pairs.remove_prefix(c.bytes + 1);
  }
}

Table make_table() {
  Table table;
  add(table, kScripts, false);
  add(table, kAlways, true);
  std::ranges::sort(table, {}, &Table::value_type::first);
  return table;
}

}  // namespace

Lookalike lookalike(std::int32_t c) {
  if (c < 0x80) return {};
  // White letters in black circles and boxes; the letters of flags.
  for (const std::int32_t first : {0x1F150, 0x1F170, 0x1F1E6})
    if (c >= first && c < first + 26) return {static_cast<char>('A' + (c - first)), true};
  static const Table kTable = make_table();
  const auto found = std::ranges::lower_bound(kTable, c, {}, &Table::value_type::first);
  return found != kTable.end() && found->first == c ? found->second : Lookalike();
}

}  // namespace tack::guard
