#include "privacy/vault.h"

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "privacy/restorer.h"

namespace tack::privacy {
namespace {

std::vector<Finding> at(std::string_view text,
                        std::initializer_list<std::pair<const char*, std::string_view>> values) {
  std::vector<Finding> findings;
  std::size_t from = 0;
  for (const auto& [name, value] : values) {
    const std::size_t begin = text.find(value, from);
    findings.push_back({name, begin, begin + value.size(), 1});
    from = begin + value.size();
  }
  return findings;
}

TEST(Vault, NumbersValuesInOrderOfSight) {
  Vault vault;
  const std::string text = "a@b.de wrote c@d.de about a@b.de and 4111111111111111";
  const auto findings = at(text, {{"EMAIL_ADDRESS", "a@b.de"},
                                  {"EMAIL_ADDRESS", "c@d.de"},
                                  {"EMAIL_ADDRESS", "a@b.de"},
                                  {"CREDIT_CARD", "4111111111111111"}});
  EXPECT_EQ(vault.mask(text, findings), "<EMAIL_1> wrote <EMAIL_2> about <EMAIL_1> and <CARD_1>");
  EXPECT_EQ(vault.value("<EMAIL_2>"), "c@d.de");
  EXPECT_EQ(vault.value("<EMAIL_3>"), std::nullopt);
  EXPECT_EQ(vault.value("EMAIL_1"), std::nullopt);
  EXPECT_EQ(vault.size(), 3u);
  EXPECT_EQ(vault.counts(),
            (std::map<std::string, std::size_t>{{"EMAIL_ADDRESS", 2}, {"CREDIT_CARD", 1}}));
  EXPECT_EQ(vault.longest_pseudonym(), 9u);
  EXPECT_EQ(restore(vault, "<EMAIL_1><CARD_1> <EMAIL_9>"), "a@b.de4111111111111111 <EMAIL_9>");
}

TEST(Vault, LookAlikesAreNotGivenOut) {
  Vault vault;
  const std::string text = "<EMAIL_1> and <<EMAIL_3>> of a@b.de and c@d.de";
  vault.reserve(text);
  const auto findings = at(text, {{"EMAIL_ADDRESS", "a@b.de"}, {"EMAIL_ADDRESS", "c@d.de"}});
  const std::string masked = vault.mask(text, findings);
  EXPECT_EQ(masked, "<EMAIL_1> and <<EMAIL_3>> of <EMAIL_2> and <EMAIL_4>");
  EXPECT_EQ(restore(vault, masked), text);
}

TEST(Vault, NoPseudonyms) {
  Vault vault;
  vault.mask("x", std::vector<Finding>{{"EMAIL_ADDRESS", 0, 1, 1}});
  for (const char* text :
       {"<EMAIL_01>", "<EMAIL_>", "<email_1>", "<EMAIL_1 >", "< EMAIL_1>", "<EMAIL_1", "EMAIL_1>",
        "<EMAIL_1x>", "<_1>", "<1_1>", "<EMAIL_0>", "<EMAIL_11>", "<EMAIL_99999999999>"})
    EXPECT_EQ(restore(vault, text), text);
  EXPECT_EQ(restore(vault, "<<EMAIL_1>>"), "<x>");
  EXPECT_EQ(restore(vault, "<EMAIL_<EMAIL_1>"), "<EMAIL_x");
}

TEST(Vault, LabelsOfTaggers) {
  Vault vault;
  EXPECT_EQ(vault.mask("ab", std::vector<Finding>{{"drug-name", 0, 1, 1}, {"\xC3\xA9", 1, 2, 1}}),
            "<DRUG_NAME_1><DATA_1>");
  EXPECT_EQ(restore(vault, "<DRUG_NAME_1><DATA_1>"), "ab");
}

TEST(Vault, Adopts) {
  Vault vault;
  ASSERT_TRUE(vault.adopt("EMAIL_ADDRESS", "<EMAIL_2>", "a@b.de"));
  EXPECT_TRUE(vault.adopt("EMAIL_ADDRESS", "<EMAIL_2>", "a@b.de"));
  EXPECT_FALSE(vault.adopt("EMAIL_ADDRESS", "<EMAIL_2>", "c@d.de"));
  EXPECT_FALSE(vault.adopt("EMAIL_ADDRESS", "<EMAIL_3>", "a@b.de"));
  EXPECT_FALSE(vault.adopt("EMAIL_ADDRESS", "EMAIL_4", "e@f.de"));
  const std::string text = "x@y.de a@b.de z@y.de";
  const auto findings =
      at(text,
         {{"EMAIL_ADDRESS", "x@y.de"}, {"EMAIL_ADDRESS", "a@b.de"}, {"EMAIL_ADDRESS", "z@y.de"}});
  EXPECT_EQ(vault.mask(text, findings), "<EMAIL_1> <EMAIL_2> <EMAIL_3>");
}

TEST(Restorer, EveryCut) {
  Vault vault;
  const std::string text = "<EMAIL_1>: \"a\\b\"@c.de\n";
  vault.reserve(text);
  const std::string masked =
      vault.mask(text, at(text, {{"EMAIL_ADDRESS", "\"a\\b\"@c.de"}})) + "<EMAIL_<CARD_1>";
  EXPECT_EQ(masked, "<EMAIL_1>: <EMAIL_2>\n<EMAIL_<CARD_1>");
  for (std::size_t a = 0; a <= masked.size(); ++a)
    for (std::size_t b = a; b <= masked.size(); ++b) {
      Restorer restorer(vault);
      std::string out = restorer.add(masked.substr(0, a));
      out += restorer.add(masked.substr(a, b - a));
      out += restorer.add(masked.substr(b));
      out += restorer.finish();
      ASSERT_EQ(out, text + "<EMAIL_<CARD_1>") << a << " " << b;
    }
}

TEST(Restorer, WritesForOtherNotations) {
  Vault vault;
  vault.mask("\"\\\n\x01", std::vector<Finding>{{"PASSWORD", 0, 4, 1}});
  Restorer restorer(vault, json_text);
  EXPECT_EQ(restorer.add("{\"a\":\"<PASSWORD_1>\"}") + restorer.finish(),
            "{\"a\":\"\\\"\\\\\\n\\u0001\"}");
}

TEST(Restorer, HoldsNoMoreThanAPseudonym) {
  Vault vault;
  EXPECT_EQ(Restorer(vault).add("<EMAIL_"), "<EMAIL_");
  vault.mask("x", std::vector<Finding>{{"EMAIL_ADDRESS", 0, 1, 1}});
  Restorer restorer(vault);
  EXPECT_EQ(restorer.add("a <EMAIL_1"), "a ");
  EXPECT_EQ(restorer.add("2"), "<EMAIL_12");
  EXPECT_EQ(restorer.finish(), "");
}

TEST(Vault, HidesWhatItKnows) {
  Vault vault;
  const std::string text = "Ann, ann@b.de, Annabel";
  vault.mask(text,
             at(text, {{"PERSON", "Ann"}, {"EMAIL_ADDRESS", "ann@b.de"}, {"PERSON", "Annabel"}}));
  EXPECT_EQ(hide_values(vault, "Annabel and Ann (ann@b.de), An"),
            "<PERSON_2> and <PERSON_1> (<EMAIL_1>), An");
  EXPECT_EQ(hide_values(Vault(), "Ann"), "Ann");
}

}  // namespace
}  // namespace tack::privacy
