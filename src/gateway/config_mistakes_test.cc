// Every mistake in tack.toml, once, with its line.
#include "gateway/config_texts.h"

namespace tack::gateway {
namespace {

struct Wrong {
  const char* text;  // after kGood
  int line;          // of `text`
  std::vector<const char*> says;
};

void PrintTo(const Wrong& wrong, std::ostream* out) {
  *out << wrong.text;
}

class Mistakes : public testing::TestWithParam<Wrong> {};

TEST_P(Mistakes, AreSaidWithTheirLineAndNothingElseIs) {
  const auto found = mistakes(std::string(kGood) + GetParam().text);
  ASSERT_EQ(found.size(), 1u) << GetParam().text << "\n" << all(found);
  EXPECT_EQ(found[0].line, kGoodLines + GetParam().line) << found[0].message;
  for (const char* part : GetParam().says)
    EXPECT_TRUE(found[0].message.contains(part)) << found[0].message << "\nwithout " << part;
}

INSTANTIATE_TEST_SUITE_P(
    Sections, Mistakes,
    testing::Values(
        Wrong{"[upstream.x]\na = 1\n", 1, {"unknown section", "'upstream'", "mean 'upstreams'"}},
        Wrong{"[serv]\n", 1, {"'serv'", "mean 'serve'", "ledger"}},
        Wrong{"serve = 3\n", 1, {"[routes.auto]", "'serve'"}},  // a key of the last section
        Wrong{"[serve]\nprot = 1\n", 2, {"[serve]", "unknown key 'prot'", "mean 'port'"}},
        Wrong{"[serve]\nxyzzy = 1\n", 2, {"unknown key 'xyzzy'.", "heartbeat, host"}},
        Wrong{"[serve\n", 1, {"column 7"}}, Wrong{"[serve]\n[serve]\n", 2, {"serve"}},
        Wrong{"[models.tickets]\n", 1, {"tickets"}},  // a second one
        Wrong{"[[models]]\n", 1, {"models"}},
        Wrong{"[models]\npath = 'x'\n", 2, {"[models] path", "[models.NAME]"}}));

INSTANTIATE_TEST_SUITE_P(
    Serve, Mistakes,
    testing::Values(
        Wrong{"[serve]\nport = 65536\n", 2, {"[serve] port", "from 0 to 65535"}},
        Wrong{"[serve]\nport = '80'\n", 2, {"[serve] port", "whole number"}},
        Wrong{"[serve]\nport = 80.0\n", 2, {"[serve] port", "whole number"}},
        Wrong{"[serve]\nthreads = -1\n", 2, {"threads", "from 0"}},
        Wrong{"[serve]\nio_threads = 0\n", 2, {"io_threads", "from 1"}},
        Wrong{"[serve]\nmax_body = '8 apples'\n", 2, {"max_body", "1KiB", "1GiB"}},
        Wrong{"[serve]\nmax_body = 0\n", 2, {"max_body"}},
        Wrong{"[serve]\ngrace = 10\n", 2, {"grace", "\"10s\""}},
        Wrong{"[serve]\ngrace = '10'\n", 2, {"grace", "span of time"}},
        Wrong{"[serve]\nheartbeat = '0s'\n", 2, {"heartbeat", "1s"}},
        Wrong{"[serve]\nhost = 'example.org'\n", 2, {"host", "IP address"}},
        Wrong{"[serve]\nhost = ''\n", 2, {"host", "not empty"}},
        Wrong{"[serve]\nport = 1\nhost = '0.0.0.0'\n", 3, {"host", "[keys]", "tack keys add"}},
        Wrong{"[serve]\nhost = '192.168.1.2'\n", 2, {"host", "[keys]"}},
        Wrong{"[serve]\nhost = '::'\n", 2, {"host", "[keys]"}}));

INSTANTIATE_TEST_SUITE_P(
    Privacy, Mistakes,
    testing::Values(
        Wrong{"[privacy]\nmode = 'masked'\n", 2, {"[privacy] mode", "allow", "mask", "local-only"}},
        Wrong{"[privacy]\nentities = ['EMAIL']\n", 2, {"entities", "EMAIL_ADDRESS"}},
        Wrong{"[privacy]\nnames = 'people'\n", 2, {"names", "a model of this file"}},
        Wrong{"[routes.r]\nto = 'tickets'\nprivacy = 'none'\n", 3, {"privacy", "local-only"}}));

INSTANTIATE_TEST_SUITE_P(
    Models, Mistakes,
    testing::Values(
        Wrong{"[models.b]\n", 1, {"[models.b] path is missing", ".gguf"}},
        Wrong{"[models.b]\npath = 3\n", 2, {"[models.b] path", "text"}},
        Wrong{"[models.b]\npath = 'x'\nkv = 'q4'\n", 3, {"kv", "\"q8_0\""}},
        Wrong{"[models.b]\npath = 'x'\nparallel = 0\n", 3, {"parallel"}},
        Wrong{"[models.b]\npath = 'x'\nprice = { input = -1 }\n", 3, {"price", "input", "from 0"}},
        Wrong{"[models.b]\npath = 'x'\nprice = { }\n", 3, {"price", "neither input nor output"}},
        Wrong{"[models.b]\npath = 'x'\nprice = 3\n", 3, {"[models.b] price", "section"}},
        Wrong{"[models.\"b c\"]\npath = 'x'\n", 1, {"\"b c\"", "letters, digits"}},
        Wrong{"[models.\"\"]\npath = 'x'\n", 1, {"letters, digits"}},
        Wrong{"[models.auto]\npath = 'x'\n", -1, {"[routes.auto]", "name of a model"}},
        Wrong{"[models.'openai/x']\npath = 'x'\n", -6, {"[upstreams.openai]", "'openai/x'"}}));

INSTANTIATE_TEST_SUITE_P(
    Upstreams, Mistakes,
    testing::Values(
        Wrong{"[upstreams.b]\n", 1, {"[upstreams.b] base_url is missing", "https://"}},
        Wrong{"[upstreams.b]\nbase_url = 'b.org'\n", 2, {"base_url", "http"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1?x=1'\n", 2, {"base_url", "'?'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1/chat/completions/'\n",
              2,
              {"/chat/completions", "leave that out"}},
        Wrong{"[upstreams.'b/c']\nbase_url = 'http://b/v1'\n", 1, {"\"b/c\"", "'/'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nbase-url = 'x'\n", 3, {"mean 'base_url'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nkey_env = 'sk-123'\n",
              3,
              {"key_env", "name of an environment variable"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nretries = 21\n", 3, {"retries"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nidle_timeout = '0s'\n", 3, {"1ms"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { 'a b' = '1' }\n", 3, {"'a b'"}},
        Wrong{
            "[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { a = 1 }\n", 3, {"headers", "a"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { a = \"x\\ny\" }\n",
              3,
              {"'a'", "line break"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { Authorization = 'x' }\n",
              3,
              {"key_env"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nheaders = { Host = 'x' }\n",
              3,
              {"'Host'", "tack sets"}},
        Wrong{
            "[upstreams.b]\nbase_url = 'http://b/v1'\nprices = { m = { inptu = 1, output = 1 } }\n",
            3,
            {"[upstreams.b.prices.m]", "mean 'input'"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\nprices = { m = 3 }\n",
              3,
              {"[upstreams.b.prices]", "m"}},
        Wrong{"[upstreams.b]\nbase_url = 'http://b/v1'\n[upstreams.b.prices]\n'm.1' = { output = "
              "-2 }\n",
              4,
              {"[upstreams.b.prices.\"m.1\"] output", "from 0"}}));

INSTANTIATE_TEST_SUITE_P(
    Routes, Mistakes,
    testing::Values(
        Wrong{"[routes.b]\n", 1, {"[routes.b] to is missing"}},
        Wrong{"[routes.b]\nto = []\n", 2, {"to", "list"}},
        Wrong{"[routes.b]\nto = ['tickets', 3]\n", 2, {"to", "list"}},
        Wrong{"[routes.b]\nto = 'tikets'\n",
              2,
              {"[routes.b] to", "no model 'tikets'", "mean 'tickets'", "openai/MODEL"}},
        Wrong{"[routes.b]\nto = 'opnai/x'\n", 2, {"no upstream 'opnai'", "mean 'openai'"}},
        Wrong{"[routes.b]\nto = 'openai'\n", 2, {"is an upstream", "openai/MODEL"}},
        Wrong{"[routes.b]\nto = 'openai/'\n", 2, {"is an upstream", "openai/MODEL"}},
        Wrong{"[routes.b]\nto = 'auto'\n", 2, {"'auto' is a route"}},
        Wrong{"[routes.b]\nto = 'b'\n", 2, {"'b' is a route"}},
        Wrong{"[routes.b]\nto = ['tickets', 'tickets']\n", 2, {"'tickets' twice"}},
        Wrong{"[routes.b]\nto = 'tickets'\nmin_confidence = 0.5\n", 3, {"second model"}},
        Wrong{"[routes.b]\nto = ['tickets', 'openai/x']\nmin_confidence = 1.5\n",
              3,
              {"min_confidence", "from 0 to 1"}},
        Wrong{"[routes.b]\nto = ['tickets', 'openai/x']\nmin_confidence = nan\n",
              3,
              {"min_confidence", "from 0 to 1"}},
        Wrong{"[routes.b]\nto = 'tickets'\nbaseline = 'auto'\n", 3, {"baseline", "is a route"}},
        Wrong{"[routes.'b/c']\nto = 'tickets'\n", 1, {"[routes.\"b/c\"]", "'/'"}},
        Wrong{"[routes.tickets]\nto = 'tickets'\n", 1, {"[routes.tickets]", "name of a model"}},
        Wrong{"[routes.auto.learned]\nmodels = { w = 'tickets' }\n",
              1,
              {"learned", "router is missing"}},
        Wrong{"[routes.auto.learned]\nrouter = 'r'\nmodels = { w = 'ticket' }\n",
              3,
              {"'w'", "mean 'tickets'"}},
        Wrong{"[routes.auto.learned]\nrouter = 'r'\nstrong_share = 2\n", 3, {"strong_share"}},
        Wrong{"[routes.auto.shadow]\nshare = 0.5\n", 1, {"shadow", "model is missing"}},
        Wrong{"[routes.auto.shadow]\nmodel = 'x'\n", 2, {"shadow", "no model 'x'"}},
        Wrong{"[routes.auto.shadow]\nmodel = 'tickets'\nshare = -1\n", 3, {"share"}}));

INSTANTIATE_TEST_SUITE_P(
    Rules, Mistakes,
    testing::Values(
        Wrong{"[[routes.auto.rules]]\nwhen = { tools = true }\n", 1, {"to is missing"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\n",
              1,
              {"[[routes.auto.rules]]", "when is missing"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = {}\n", 3, {"when is missing"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = 'tools'\n", 3, {"when", "section"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { keys = 'a' }\n",
              3,
              {"[[routes.auto.rules]] when", "mean 'key'"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { key = 'a' }\n",
              3,
              {"when key", "never holds", "[keys]"}},
        Wrong{"[[routes.auto.rules]]\nto = 'x'\nwhen = { tools = true }\n", 2, {"no model 'x'"}},
        Wrong{
            "[[routes.auto.rules]]\nto = 'tickets'\nwhen = { tools = 1 }\n", 3, {"true or false"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { language = 'deu' }\n",
              3,
              {"two letters"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { header = { 'a b' = 'x' } }\n",
              3,
              {"'a b'"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { min_chars = 2, max_chars = 1 }\n",
              3,
              {"max_chars", "below"}},
        Wrong{
            "[[routes.auto.rules]]\nto = 'tickets'\nwhen = { contains = [''] }\n", 3, {"contains"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { label = 'x' } }\n",
              3,
              {"when.intent", "no model"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { model = 'openai/gpt-4.1' "
              "} }\n",
              3,
              {"when.intent model", "model of this file", "tickets"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { model = 'tickets', "
              "min_probability = 2 } }\n",
              3,
              {"min_probability"}},
        Wrong{"[[routes.auto.rules]]\nto = 'tickets'\nwhen = { intent = { model = 'tickets', "
              "label = 'x', out_of_scope = true } }\n",
              3,
              {"out_of_scope"}},
        Wrong{"[[routes.auto.rules]]\nname = 'a'\nto = 'tickets'\nwhen = { tools = true }\n"
              "[[routes.auto.rules]]\nname = 'a'\nto = 'tickets'\nwhen = { tools = true }\n",
              6,
              {"'a' is the name of another rule"}},
        Wrong{"[routes.auto.rules]\nto = 'tickets'\n", 1, {"list", "[[routes.auto.rules]]"}}));

INSTANTIATE_TEST_SUITE_P(
    Storage, Mistakes,
    testing::Values(Wrong{"[keys]\npath = 'x'\n", 2, {"[keys]", "'path'", "file"}},
                    Wrong{"[keys]\nfile = ''\n", 2, {"[keys] file"}},
                    Wrong{"[cache]\nmax_bytes = 'x'\n", 2, {"[cache] max_bytes"}},
                    Wrong{"[cache]\nttl = '1 week'\n", 2, {"[cache] ttl", "span of time"}},
                    Wrong{"[ledger]\nenabled = 'yes'\n", 2, {"[ledger] enabled", "true or false"}},
                    Wrong{"[ledger]\nretention = '36h'\n", 2, {"[ledger] retention", "whole days"}},
                    Wrong{"[ledger]\nretention = '-1d'\n", 2, {"[ledger] retention"}},
                    Wrong{"[ledger]\nqueue = 0\n", 2, {"[ledger] queue"}},
                    Wrong{"[audit]\nverify = 'some'\n", 2, {"[audit] verify", "ends"}},
                    Wrong{"[audit]\nmax_bytes = 1\n", 2, {"[audit] max_bytes", "64KiB"}},
                    Wrong{"[audit]\npath = '/a'\nkey_file = '/a'\n", 3, {"[audit] key_file"}},
                    Wrong{"[audit]\nenabled = false\nrequired = true\n", 3, {"[audit] required"}},
                    Wrong{"[audit]\nkey = 'x'\n", 2, {"[audit]", "'key'", "key_file"}}));

TEST(ConfigMistakes, SaysAllMistakesInTheOrderOfTheirLines) {
  const auto found = mistakes(
      "[ledger]\nqueue = 0\n[routes.r]\nto = 'x'\n[serve]\nport = -1\nhots = 'x'\n[models.m]\n");
  ASSERT_EQ(found.size(), 5u) << all(found);
  EXPECT_EQ(found[0].line, 2);
  EXPECT_EQ(found[1].line, 4);
  EXPECT_EQ(found[2].line, 6);
  EXPECT_EQ(found[3].line, 7);
  EXPECT_EQ(found[4].line, 8);
}

TEST(ConfigMistakes, ASectionWithMistakesIsStillThere) {
  // One mistake each: nothing follows from it.
  EXPECT_EQ(mistakes("[upstreams.a]\nbase_url = 'x'\n[routes.r]\nto = 'a/m'\n").size(), 1u);
  EXPECT_EQ(mistakes("[models.a]\n[routes.r]\nto = 'a'\n").size(), 1u);
}

TEST(ConfigMistakes, NeverRepeatsWhatMayBeAKey) {
  for (const ConfigMistake& mistake :
       mistakes("[upstreams.a]\nbase_url = 'https://u:secret@x/v1'\nkey_env = 'sk-secret'\n"
                "headers = { a = \"secret\\n\" }\n"))
    EXPECT_FALSE(mistake.message.contains("secret")) << mistake.message;
}

TEST(ConfigMistakes, ASectionMustBeOne) {
  const auto found = mistakes("serve = 3\nmodels = []\n[routes]\nauto = 'tickets'\n");
  ASSERT_EQ(found.size(), 3u) << all(found);
  EXPECT_EQ(found[0].message, "serve must be a section: [serve]");
  EXPECT_EQ(found[1].message, "models must be a section: [models]");
  EXPECT_TRUE(found[2].message.contains("[routes.NAME]"));
}

TEST(ConfigMistakes, SurvivesOddText) {
  for (const std::string& text :
       {std::string("\xff\xfe"), std::string(1, '\0'), std::string("a = \"\\u0000\""),
        std::string(100000, '['), "a = " + std::string(100000, '['),
        std::string("[serve]\nhost = \"\\u0000\"")}) {
    const auto found = mistakes(text);
    ASSERT_FALSE(found.empty());
    for (const ConfigMistake& mistake : found)
      for (const char c : mistake.message) EXPECT_GE(static_cast<unsigned char>(c), 0x20);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Guard, Mistakes,
    testing::Values(
        Wrong{"[guard]\nmod = 'observe'\n", 2, {"[guard]", "unknown key 'mod'", "mean 'mode'"}},
        Wrong{"[guard]\nmode = 'off'\n", 2, {"mode", "\"enforce\", \"observe\""}},
        Wrong{"[guard]\nmodel = 'tickts'\n", 2, {"model", "mean 'tickets'"}},
        Wrong{"[guard]\nmax_windows = 0\n", 2, {"max_windows", "from 1"}},
        Wrong{"[guard]\n[guard.input]\n", 2, {"input", "[[guard.input]]"}},
        Wrong{"[guard]\nconfig = 'none.json'\n", 2, {"config", "none.json"}},
        Wrong{"[[guard.input]]\nname = 'x'\n", 1, {"check is missing", "injection"}},
        Wrong{"[[guard.input]]\ncheck = 'toxic'\n", 2, {"check", "\"unsafe\""}},
        Wrong{"[[guard.input]]\ncheck = 'words'\n", 1, {"words is missing"}},
        Wrong{"[[guard.input]]\ncheck = 'words'\nwords = ['\u200b']\n", 3, {"no characters"}},
        Wrong{"[[guard.input]]\ncheck = 'regex'\npatterns = ['a', '(?<=x)y']\n",
              3,
              {"patterns", "'(?<=x)y'", "cannot be used"}},
        Wrong{"[[guard.input]]\ncheck = 'topic'\n", 1, {"model is missing", "tack build"}},
        Wrong{"[[guard.input]]\ncheck = 'unsafe'\nmodel = 'ticket'\n", 3, {"mean 'tickets'"}},
        Wrong{"[[guard.input]]\ncheck = 'unsafe'\nthreshold = 2\n", 3, {"threshold", "0 to 1"}},
        Wrong{"[[guard.input]]\ncheck = 'unsafe'\nthresholds = { a = 'x' }\n", 3, {"number"}},
        Wrong{"[[guard.input]]\ncheck = 'pii'\nonly = 'EMAIL_ADRESS'\n", 3, {"EMAIL_ADDRESS"}},
        Wrong{"[[guard.input]]\ncheck = 'pii'\nmask = true\n", 3, {"unknown key 'mask'"}},
        Wrong{"[[guard.input]]\ncheck = 'schema'\nschema = '{}'\n", 1, {"[[guard.output]]"}},
        Wrong{"[[guard.output]]\ncheck = 'schema'\nschema = '{\"tpe\":1}'\n", 3, {"'tpe'"}},
        Wrong{"[[guard.input]]\ncheck = 'urls'\nallow = 'http://*'\n", 3, {"neither a host"}},
        Wrong{"[[guard.input]]\ncheck = 'language'\nonly = 'English'\n", 3, {"ISO 639-1"}},
        Wrong{"[[guard.input]]\ncheck = 'pii'\n[[guard.input]]\ncheck = 'pii'\n",
              3,
              {"name of another check"}}));

}  // namespace
}  // namespace tack::gateway
