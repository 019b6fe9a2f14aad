// Settings: where a value comes from, which values are refused with which message, and what is shown of them.
#include "mephisto/settings.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "mephisto/error.h"
#include "mephisto/logging.h"

namespace mephisto::tests {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

using Type = SettingSpec::Type;

// Settings of an app called `shop`, with a folder for its config.yml, and environment variables that end with it.
class SettingsTest : public ::testing::Test {
 protected:
  SettingsTest() {
    auto pattern = (std::filesystem::temp_directory_path() / "mephisto-settings-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("cannot make " + pattern);
    folder = pattern;
    settings.add({"service.apikey", Type::kText, "", "a key", true, {}, ""});
    settings.add({"service.rate", Type::kText, "1/s", "a rate", false, {}, ""});
  }
  ~SettingsTest() override {
    for (const auto& name : variables) unsetenv(name.c_str());
    std::filesystem::remove_all(folder);
  }
  std::string yaml(const std::string& text) {
    auto path = folder + "/config.yml";
    std::ofstream{path} << text;
    return path;
  }
  void environment(const std::string& name, const std::string& value) {
    setenv(name.c_str(), value.c_str(), 1);
    variables.push_back(name);
  }
  std::string refusal_of(const std::function<void()>& action) {
    try {
      action();
    } catch (const Failure& failure) {
      EXPECT_EQ(failure.kind(), ErrorKind::kInvalid);
      return failure.what();
    }
    return "(taken)";
  }
  std::string refusal_of(const std::string& name, const std::string& value) {
    return refusal_of([&] { settings.set(name, value, "--set"); });
  }
  Settings::Row row(const std::string& name) {
    for (const auto& one : settings.rows()) {
      if (one.spec->name == name) return one;
    }
    return {};
  }

  std::string folder;
  std::vector<std::string> variables;
  Settings settings{"shop"};
};

TEST_F(SettingsTest, HasADefaultForEverything) {
  EXPECT_EQ(settings.integer("topic_partitions"), 8);
  EXPECT_EQ(settings.text("processing_guarantee"), "at_least_once");
  EXPECT_EQ(settings.duration("drain_timeout"), 10s);
  EXPECT_EQ(settings.bytes("memory_budget"), 64u << 20);
  EXPECT_TRUE(settings.flag("topic_allow_declare"));
  EXPECT_EQ(row("topic_partitions").source, "default");
}

TEST_F(SettingsTest, EachPlaceOverridesTheOneBefore) {
  auto path = yaml("topic_partitions: 2\nshards: 2\ndrain_timeout: 2s\n");
  environment("SHOP_SHARDS", "3");
  environment("SHOP_DRAIN_TIMEOUT", "3s");
  settings.load_yaml(path);
  settings.load_environment();
  settings.set("drain_timeout", "4s", "--set");
  EXPECT_EQ(settings.integer("topic_partitions"), 2);
  EXPECT_EQ(settings.integer("shards"), 3);
  EXPECT_EQ(settings.duration("drain_timeout"), 4s);
}

TEST_F(SettingsTest, EachValueSaysWhereItCameFrom) {
  auto path = yaml("\ntopic_partitions: 2\n");
  environment("SHOP_SHARDS", "3");
  settings.load_yaml(path);
  settings.load_environment();
  settings.set("drain_timeout", "4s", "--set");
  EXPECT_EQ(row("topic_partitions").source, path + ":2");
  EXPECT_EQ(row("shards").source, "environment SHOP_SHARDS");
  EXPECT_EQ(row("drain_timeout").source, "--set");
  EXPECT_EQ(row("memory_budget").source, "default");
}

TEST_F(SettingsTest, ADottedNameIsAnUnderscoreInTheEnvironment) {
  environment("SHOP_SERVICE_RATE", "75/min");
  settings.load_environment();
  EXPECT_EQ(settings.text("service.rate"), "75/min");
  EXPECT_EQ(row("service.rate").environment, "SHOP_SERVICE_RATE");
}

TEST_F(SettingsTest, NestedYamlIsADottedName) {
  settings.load_yaml(yaml("service:\n  rate: 75/min\n  apikey: abc\n"));
  EXPECT_EQ(settings.text("service.rate"), "75/min");
  EXPECT_EQ(settings.text("service.apikey"), "abc");
}

TEST_F(SettingsTest, AYamlListIsJoined) {
  settings.load_yaml(yaml("kafka:\n  servers:\n    - memory://a\n    - memory://b\n"));
  EXPECT_EQ(settings.text("broker"), "memory://a;memory://b");
}

TEST_F(SettingsTest, AnAliasIsTheSameSetting) {
  settings.set("kafka.servers", "memory://x", "--set");
  EXPECT_EQ(settings.text("broker"), "memory://x");
  EXPECT_EQ(row("broker").source, "--set");
}

TEST_F(SettingsTest, AnAliasWorksInTheEnvironmentToo) {
  environment("SHOP_KAFKA_SERVERS", "memory://y");
  settings.load_environment();
  EXPECT_EQ(settings.text("broker"), "memory://y");
}

TEST_F(SettingsTest, AnUnknownNameIsRefusedWithTheNearest) {
  EXPECT_THAT(refusal_of("topic_partition", "2"),
              AllOf(HasSubstr("--set: there is no setting \"topic_partition\""),
                    HasSubstr("did you mean \"topic_partitions\"?"), HasSubstr("shop config")));
}

TEST_F(SettingsTest, AnUnknownNameFarFromAllIsRefusedWithoutAGuess) {
  EXPECT_THAT(refusal_of("xyzzy", "2"), AllOf(HasSubstr("no setting"), Not(HasSubstr("did you mean"))));
}

TEST_F(SettingsTest, AnUnknownNameInYamlSaysWhichLine) {
  auto path = yaml("shards: 1\nservice:\n  rat: 3\n");
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(path); }),
              AllOf(HasSubstr(path + ":3"), HasSubstr("service.rat"), HasSubstr("did you mean \"service.rate\"?")));
}

TEST_F(SettingsTest, AValueOfAnotherTypeIsRefused) {
  EXPECT_THAT(refusal_of("shards", "two"),
              AllOf(HasSubstr("--set: shards:"), HasSubstr("\"two\" is not a whole number from 0")));
  EXPECT_THAT(refusal_of("shards", "-1"), HasSubstr("not a whole number"));
  EXPECT_THAT(refusal_of("shards", "1.5"), HasSubstr("not a whole number"));
  EXPECT_THAT(refusal_of("shards", "99999999999999999999"), HasSubstr("not a whole number"));
  EXPECT_THAT(refusal_of("shards", ""), HasSubstr("not a whole number"));
  EXPECT_THAT(refusal_of("drain_timeout", "soon"), HasSubstr("soon"));
  EXPECT_THAT(refusal_of("memory_budget", "64 MB"), HasSubstr("is not a size: write bytes, or 512KiB, 64MiB, 1GiB"));
  EXPECT_THAT(refusal_of("memory_budget", "0"), HasSubstr("not a size"));
  EXPECT_THAT(refusal_of("memory_budget", "99999999999GiB"), HasSubstr("not a size"));
  EXPECT_THAT(refusal_of("topic_allow_declare", "maybe"), HasSubstr("neither true nor false"));
}

TEST_F(SettingsTest, AChoiceNamesAllAndTheNearest) {
  EXPECT_THAT(refusal_of("processing_guarantee", "exactly_onc"),
              AllOf(HasSubstr("at_least_once, exactly_once"), HasSubstr("did you mean \"exactly_once\"?")));
}

TEST_F(SettingsTest, ARefusedValueLeavesTheOldOne) {
  settings.set("shards", "3", "--set");
  refusal_of("shards", "two");
  EXPECT_EQ(settings.integer("shards"), 3);
}

TEST_F(SettingsTest, FlagsAreReadAsPeopleWriteThem) {
  for (const char* yes : {"true", "yes", "on", "1", "TRUE", "Yes"}) {
    settings.set("topic_disable_leader", yes, "--set");
    EXPECT_TRUE(settings.flag("topic_disable_leader")) << yes;
  }
  for (const char* no : {"false", "no", "off", "0", "False"}) {
    settings.set("topic_disable_leader", no, "--set");
    EXPECT_FALSE(settings.flag("topic_disable_leader")) << no;
  }
}

TEST_F(SettingsTest, SizesHaveUnits) {
  for (auto [text, size] : std::vector<std::pair<std::string, std::size_t>>{
           {"1", 1}, {"2B", 2}, {"3K", 3072}, {"512KiB", 512u << 10}, {"64MiB", 64u << 20}, {"2G", 2ull << 30}}) {
    settings.set("memory_budget", text, "--set");
    EXPECT_EQ(settings.bytes("memory_budget"), size) << text;
  }
}

TEST_F(SettingsTest, ASecretIsNeverShown) {
  settings.set("service.apikey", "s3cr3t-0815", "--set");
  EXPECT_EQ(row("service.apikey").value, "***");
  EXPECT_EQ(settings.text("service.apikey"), "s3cr3t-0815");
}

TEST_F(SettingsTest, ASecretThatIsNotSetIsShownAsEmpty) { EXPECT_EQ(row("service.apikey").value, ""); }

TEST_F(SettingsTest, ASecretIsMaskedInLogLines) {
  settings.set("service.apikey", "s3cr3t-4711", "--set");
  log::configure({.level = log::Level::kInfo, .file = folder + "/log"});
  log::info("get /query?apikey={}", "s3cr3t-4711");
  log::configure({.level = log::Level::kCrit, .file = ""});
  std::ifstream file{folder + "/log"};
  std::string text{std::istreambuf_iterator<char>{file}, {}};
  EXPECT_THAT(text, AllOf(HasSubstr("apikey=***"), Not(HasSubstr("4711"))));
}

TEST_F(SettingsTest, ATabInYamlIsRefusedWithItsPlace) {
  auto path = yaml("service:\n\trate: 3\n");
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(path); }), HasSubstr(path + ":2:1: "));
}

TEST_F(SettingsTest, BrokenYamlIsRefusedWithItsPlace) {
  auto path = yaml("shards: [1\n");
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(path); }), HasSubstr(path + ":"));
}

TEST_F(SettingsTest, AYamlFileOfSomethingElseIsRefused) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("- a\n- b\n")); }), HasSubstr("expected `name: value` lines"));
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("just text\n")); }), HasSubstr("expected `name: value` lines"));
}

TEST_F(SettingsTest, ANestedListInYamlIsRefused) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("broker:\n  - [a, b]\n")); }),
              HasSubstr("broker: expected a list of plain values"));
}

TEST_F(SettingsTest, AYamlKeyThatIsNoTextIsRefused) {
  EXPECT_NE(refusal_of([&] { settings.load_yaml(yaml("[a, b]: 1\n")); }), "(taken)");
}

TEST_F(SettingsTest, AYamlAliasThatHoldsItselfIsRefused) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("service: &all\n  more: *all\n")); }),
              AllOf(HasSubstr(":2"), HasSubstr("service.more")));
}

// Texts that could silently be misread, each with a part of its error.
TEST_F(SettingsTest, NothingInAYamlFileVanishes) {
  const std::vector<std::pair<std::string, std::string>> kFiles{
      {"service:\n  apikey: \"abc\nshards: 2\ndatadir: \"x\"\n", ":2: a quote is not closed in its line"},
      {"service:\n  apikey: \"abc\nshards: 2\n", ":2: a quote is not closed in its line"},
      {"service:\n  apikey: 'abc\nshards: 2\n", ":2: a quote is not closed in its line"},
      {"service:\n  apikey: 'abc\nshards: 2\n# it's\n", ":2: a quote is not closed in its line"},
      {"broker: ['memory://a\n  b']\n", ":1: a quote is not closed in its line"},
      {"service: {apikey: \"a\\\"b\n, rate: 1/s}\n", ":1"},
      {"shards: 2\n---\nshards: 3\n", ":3: a second document begins here"},
      {"shards: 2\n...\ndatadir: x\n", ":3: a second document begins here"},
      {"shards: 2\n...\nrubbish\n", ":3: a second document begins here"},
      {"datadir: a\n  shards 2\n", ":1: the value goes on in the next line"},
      {"service:\n  apikey: abc\n    rate: 1/s\n", ":3"},
      {"datadir\n", "expected `name: value`"},
      {"shards: 1\ndatadir\n", ":2: expected `name: value`"},
      {"{shards, datadir: x}\n", ":1: expected `name: value`"},
      {"? {a: b}\n: c\n", ":1: expected `name: value`"},
      {"base: &base\n  rate: 1/s\nservice:\n  <<: *base\n", ":4: a merge (<<) is not supported"},
      {"service:\n  <<: {rate: 1/s}\n", ":2: a merge (<<) is not supported"},
      {"shards: !foo 2\n", ":1: the tag !foo is not supported"},
      {"service:\n  apikey: !!binary YWJj\n", "binary is not supported"},
      {"service: !secret\n  apikey: abc\n", ":1: the tag !secret is not supported"},
      {"broker: memory://a\nkafka:\n  servers: memory://b\n", ":3: kafka.servers is set twice, first at "},
      {"service.rate: 1/s\nservice:\n  rate: 2/s\n", ":3: service.rate is set twice"},
      {"service:\n  rate: 1/s\nshards: 1\nservice:\n  apikey: abc\n  rate: 2/s\n", ":6: service.rate is set twice"},
      {"service: {}\n", ":1: service: an empty section"},
      {"servce: {}\n", ":1: servce: an empty section"},
      {"datadir: {}\n", ":1: datadir: an empty section"},
      {"service:\n", "\"service\" is a section"},
      {"kafka: {servers: []}\n", ":1: kafka.servers: it names no log: give one, or leave the setting out"},
      {"shards: 2\nkafka:\n  servers:\n", ":3: kafka.servers: it names no log"},
      {"kafka:\n  servers: ['']\n", ":2: kafka.servers: it names no log"},
      {"broker: ''\n", ":1: broker: it names no log"},
      {"service: [apikey, rate]\n", "\"service\" is a section"},
      {"kafka:\n  properties: &all\n    more: *all\n", ":3: kafka.properties.more holds itself"},
      {"kafka: &all\n  properties:\n    more: *all\n", ":3: kafka.properties.more holds itself"},
      {"kafka:\n  servers: &all [*all]\n", ":2: kafka.servers: expected a list of plain values"},
      {"service:\n  apikey: |\n    abc\n", ":2: service.apikey: the value has more than one line"},
      {"datadir: \"a\\nb\"\n", ":1: datadir: the value has more than one line"},
      {"datadir: \"a\\0b\"\n", "datadir: the value has a control character, \\x00"},
      {"datadir: \"a\\eb\"\n", "datadir: the value has a control character, \\x1b"},
      {std::string{"shards: 2\n\0", 11}, ": it is not UTF-8 text (UTF-16?): save it as UTF-8"},
      {std::string{"\xff\xfes\0h\0", 6}, ": it is not UTF-8 text (UTF-16?): save it as UTF-8"},
      {std::string{"\xfe\xff\0s\0h", 6}, ": it is not UTF-8 text (UTF-16?): save it as UTF-8"},
      {"shards: 2\ndatadir: caf\xe9\n", ":2: it is not UTF-8 text: save it as UTF-8"},
  };
  for (const auto& [text, said] : kFiles) {
    Settings fresh{"shop"};
    fresh.add({"service.apikey", Type::kText, "", "a key", true, {}, ""});
    fresh.add({"service.rate", Type::kText, "1/s", "a rate", false, {}, ""});
    EXPECT_THAT(refusal_of([&] { fresh.load_yaml(yaml(text)); }), HasSubstr(said)) << text;
  }
}

TEST_F(SettingsTest, WhatIsOnlyWrittenOtherwiseIsTaken) {
  for (const std::string text :
       {"\xef\xbb\xbfshards: 2\ndatadir: \xc3\xbc x\n", "shards: 2\r\ndatadir: \xc3\xbc x\r\n",
        "shards: 2\rdatadir: '\xc3\xbc x'\r", "---\nshards: 2\ndatadir: \xc3\xbc x\n...\n",
        "# what\n---\n---\nshards: 2\ndatadir: \xc3\xbc x\n---\n",
        "\"shards\": !!int 2\n'datadir' : !!str '\xc3\xbc x'\n", "{\"shards\": 2,\n \"datadir\": \"\xc3\xbc x\"}\n",
        "# \xc3\xbc\xc3\xbc\ndatadir: &place\n  \xc3\xbc x\nshards: &n \"2\"\n",
        "datadir: >-\n  \xc3\xbc\n  x\nshards: 2 # it's \"two\n",
        "%YAML 1.2\n---\nshards: 2\ndatadir: \"\\u00fc x\"\n"}) {
    Settings fresh{"shop"};
    fresh.load_yaml(yaml(text));
    EXPECT_EQ(fresh.integer("shards"), 2) << text;
    EXPECT_EQ(fresh.text("datadir"), "\xc3\xbc x") << text;
  }
}

TEST_F(SettingsTest, QuotesWithinAValueAreTaken) {
  settings.load_yaml(yaml("service:\n  apikey: 'it''s \"one\"'\n  rate: \"a\\\"b # c\"  # d\n"));
  EXPECT_EQ(settings.text("service.apikey"), "it's \"one\"");
  EXPECT_EQ(settings.text("service.rate"), "a\"b # c");
}

TEST_F(SettingsTest, AnAliasIsTheValueThatItNames) {
  settings.load_yaml(yaml("service:\n  apikey: &key 'abc'\n  rate: *key\n"));
  EXPECT_EQ(settings.text("service.rate"), "abc");
}

TEST_F(SettingsTest, KeysAndCertificatesHaveLines) {
  settings.load_yaml(yaml("kafka:\n  properties:\n    ssl.ca.pem: |\n      -----BEGIN\n      AAAA\n"));
  EXPECT_EQ(settings.text("kafka.properties.ssl.ca.pem"), "-----BEGIN\nAAAA\n");
  EXPECT_THAT(refusal_of("kafka.properties.sasl.password", "a\nb"), HasSubstr("more than one line"));
}

TEST_F(SettingsTest, AFileWithoutEndIsRefused) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml("/dev/zero"); }), HasSubstr("/dev/zero: it has more than 1 MiB"));
  environment("SHOP_SERVICE_APIKEY_FILE", "/dev/zero");
  EXPECT_THAT(refusal_of([&] { settings.load_environment(); }),
              AllOf(HasSubstr("SHOP_SERVICE_APIKEY_FILE"), HasSubstr("more than 1 MiB")));
}

TEST_F(SettingsTest, ARefusalNeverShowsASecret) {
  for (const std::string text : {"service:\n  apikey: \"s3cr3t\nshards: 2\n", "service:\n  apikey: s3cr3t\n    more\n",
                                 "service:\n  apikey: |\n    s3cr3t\n", "service:\n  apikey: !x s3cr3t\n",
                                 "service:\n  apikey: s3cr3t\n  apikey: s3cr3t\n"}) {
    EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml(text)); }), Not(HasSubstr("s3cr3t"))) << text;
  }
}

TEST_F(SettingsTest, AMissingYamlFileIsNamed) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(folder + "/none.yml"); }),
              HasSubstr("cannot read " + folder + "/none.yml"));
}

TEST_F(SettingsTest, AnEmptyYamlFileIsFine) {
  settings.load_yaml(yaml(""));
  settings.load_yaml(yaml("# only a comment\n"));
  EXPECT_EQ(settings.integer("topic_partitions"), 8);
}

TEST_F(SettingsTest, ANumberOutsideItsRangeIsRefusedWithTheRange) {
  settings.add({.name = "dice", .type = Type::kInteger, .default_value = "1", .least = 1, .most = 6});
  EXPECT_THAT(refusal_of("dice", "0"), HasSubstr("dice: \"0\" is not a whole number from 1 to 6"));
  EXPECT_THAT(refusal_of("dice", "7"), HasSubstr("from 1 to 6"));
  settings.set("dice", "6", "--set");
  EXPECT_EQ(settings.integer("dice"), 6);
}

TEST_F(SettingsTest, ADurationThatIsTooShortIsRefused) {
  settings.add({.name = "wait", .type = Type::kDuration, .default_value = "1s", .least = 100});
  EXPECT_THAT(refusal_of("wait", "99ms"), HasSubstr("wait: \"99ms\" is too short: at least 100 ms"));
  settings.set("wait", "0.1", "--set");
  EXPECT_EQ(settings.duration("wait"), 100ms);
}

TEST_F(SettingsTest, PropertiesOfLibrdkafkaAreSettingsBelowTheirSection) {
  settings.load_yaml(yaml("kafka:\n  properties:\n    linger.ms: 20\n    compression.codec: lz4\n"));
  environment("SHOP_KAFKA_PROPERTIES_SASL_PASSWORD", "open sesame");
  settings.load_environment();
  EXPECT_EQ(settings.below("kafka.properties"),
            (std::map<std::string, std::string>{
                {"linger.ms", "20"}, {"compression.codec", "lz4"}, {"sasl.password", "open sesame"}}));
  EXPECT_EQ(row("kafka.properties.sasl.password").value, "***");
  EXPECT_EQ(row("kafka.properties.linger.ms").value, "20");
}

TEST_F(SettingsTest, AnyValueMayBeInAFileThatTheEnvironmentNames) {
  environment("SHOP_KAFKA_PROPERTIES_SASL_PASSWORD_FILE", yaml("open sesame\n"));
  settings.load_environment();
  EXPECT_EQ(settings.below("kafka.properties").at("sasl.password"), "open sesame");
  EXPECT_EQ(row("kafka.properties.sasl.password").value, "***");
}

TEST_F(SettingsTest, TheLastLineOfSuchAFileMayEndOrNot) {
  environment("SHOP_DATADIR_FILE", yaml("/var/shop"));
  settings.load_environment();
  EXPECT_EQ(settings.text("datadir"), "/var/shop");
}

TEST_F(SettingsTest, WhatAnEditorAddsToSuchAFileIsNotTheValues) {
  for (const std::string text : {"abc\n\n", "abc\r\n\r\n", "abc\n  \n\t\n",
                                 "\xef\xbb\xbf"
                                 "abc\n",
                                 "abc\r"}) {
    environment("SHOP_SERVICE_APIKEY_FILE", yaml(text));
    settings.load_environment();
    EXPECT_EQ(settings.text("service.apikey"), "abc") << text;
  }
  environment("SHOP_SERVICE_APIKEY_FILE", yaml(" open sesame \n"));
  settings.load_environment();
  EXPECT_EQ(settings.text("service.apikey"), " open sesame ") << "spaces may be part of it";
}

TEST_F(SettingsTest, SuchAFileWithSomethingElseIsRefused) {
  for (const auto& [text, said] : std::vector<std::pair<std::string, std::string>>{
           {"", "it is empty"},
           {"\n \n", "it is empty"},
           {"abc\ndef\n", "service.apikey: the value has more than one line"},
           {"\nabc\n", "service.apikey: the value has more than one line"},
           {std::string{"\xff\xfe"
                        "a\0b\0",
                        6},
            "it is not UTF-8 text"},
           {std::string{"a\0b", 3}, "it is not UTF-8 text"}}) {
    environment("SHOP_SERVICE_APIKEY_FILE", yaml(text));
    EXPECT_THAT(refusal_of([&] { settings.load_environment(); }),
                AllOf(HasSubstr("SHOP_SERVICE_APIKEY_FILE"), HasSubstr(said), Not(HasSubstr("abc"))))
        << text;
  }
}

TEST_F(SettingsTest, AValueAndItsFileAtOnceOrAFileThatIsNotThereAreRefused) {
  environment("SHOP_DATADIR_FILE", "/nowhere/at/all");
  EXPECT_THAT(refusal_of([&] { settings.load_environment(); }),
              AllOf(HasSubstr("SHOP_DATADIR_FILE"), HasSubstr("cannot read /nowhere/at/all")));
  environment("SHOP_DATADIR", "here");
  EXPECT_THAT(refusal_of([&] { settings.load_environment(); }),
              AllOf(HasSubstr("SHOP_DATADIR and SHOP_DATADIR_FILE"), HasSubstr("leave one of them out")));
}

TEST_F(SettingsTest, APropertyThatLibrdkafkaHasNotIsRefusedWithTheNearest) {
  EXPECT_THAT(refusal_of("kafka.properties.linger.mss", "20"),
              AllOf(HasSubstr("--set: kafka.properties.linger.mss"), HasSubstr("linger.ms")));
  EXPECT_THAT(refusal_of("kafka.properties.linger.ms", "much"), HasSubstr("linger.ms"));
  EXPECT_THAT(refusal_of("kafka.properties.security.protocol", "carrier pigeon"), HasSubstr("security.protocol"));
}

TEST_F(SettingsTest, APropertyThatAPromiseHangsOnIsRefused) {
  EXPECT_THAT(refusal_of("kafka.properties.enable.idempotence", "false"), HasSubstr("cannot be changed"));
  EXPECT_THAT(refusal_of("kafka.properties.enable.auto.commit", "true"), HasSubstr("cannot be changed"));
}

TEST_F(SettingsTest, TheLogsUrlIsCheckedWhereItIsSet) {
  EXPECT_THAT(refusal_of("broker", "pulsar://localhost:6650"),
              AllOf(HasSubstr("--set: broker:"), HasSubstr("local://FOLDER")));
  EXPECT_THAT(refusal_of("broker", "kafka://localhost:nine"),
              AllOf(HasSubstr("--set: broker:"), HasSubstr("kafka://HOST:PORT")));
  EXPECT_THAT(refusal_of("broker", "kafka://user:secret@localhost:9092"), HasSubstr("kafka.properties"));
  for (const auto* none : {"kafka://", "kafka://one,", "kafka://one,,two", "kafka://one:0", "kafka://one:65536",
                           "kafka://one:1:2", "kafka://[::1", "kafka://::1", "kafka://[]x:1", "kafka://[]:1",
                           "kafka://[::1]]:1", "kafka://a]b:1", "kafka://;one", "kafka://one;", "kafka://a\tb"})
    EXPECT_THAT(refusal_of("broker", none), HasSubstr("kafka://HOST:PORT")) << none;
  for (const auto* good :
       {"kafka://one:9092;kafka://two:9092", "kafka://one,two:9093", "kafka://[::1]", "kafka://[::1]:9092"})
    EXPECT_EQ(refusal_of("broker", good), "(taken)") << good;
  EXPECT_THAT(refusal_of("kafka.servers", "nonsense"), HasSubstr("kafka.servers: \"nonsense\" is not a log URL"));
}

TEST_F(SettingsTest, AUrlInAWrongPlaceIsRefusedWithoutItsPassword) {
  for (const char* url : {"mongodb://me:s3cret@host/db", "http://host/?apikey=s3cret", "me:s3cret@host",
                          "kafka://me:s3cret@host:9092", "s3cret@host://x", "local//s3cret@host"}) {
    for (const char* name : {"broker", "kafka.servers", "shards", "memory_budget", "drain_timeout",
                             "topic_disable_leader", "processing_guarantee"}) {
      const auto refusal = refusal_of(name, url);
      EXPECT_THAT(refusal, HasSubstr(name)) << url;
      EXPECT_THAT(refusal, Not(HasSubstr("s3cret"))) << name;
    }
  }
}

TEST_F(SettingsTest, AListWhereOneValueBelongsIsRefused) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("datadir: [a, b]\n")); }),
              HasSubstr("config.yml:1: datadir: expected a text, found a list"));
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("shards: [1]\n")); }),
              HasSubstr("shards: expected a whole number, found a list"));
}

TEST_F(SettingsTest, ASectionIsNoSetting) {
  EXPECT_THAT(
      refusal_of([&] { settings.load_yaml(yaml("service: 5\n")); }),
      HasSubstr("config.yml:1: \"service\" is a section, not a setting: name one in it, such as service.apikey"));
}

TEST_F(SettingsTest, AKeyThatIsThereTwiceIsRefused) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(yaml("shards: 1\nservice:\n  rate: 1/s\n  rate: 2/s\n")); }),
              HasSubstr("config.yml:4: service.rate is set twice"));
}

TEST_F(SettingsTest, AFolderIsNoFile) {
  EXPECT_THAT(refusal_of([&] { settings.load_yaml(folder); }), HasSubstr("it is a directory"));
}

TEST_F(SettingsTest, ATabInsideOfALineIsFine) {
  settings.load_yaml(yaml("shards:\t3\t# three\n"));
  EXPECT_EQ(settings.integer("shards"), 3);
}

TEST_F(SettingsTest, AnAppsOwnSettingMayNotTakeAName) {
  EXPECT_THAT(refusal_of([&] { settings.add({"shards", Type::kText, "", "", false, {}, ""}); }),
              HasSubstr("declared twice"));
}

TEST_F(SettingsTest, ASettingThatIsDeclaredTwiceIsReportedWithBothLocations) {
  const int first = __LINE__ + 1;
  settings.add({"own", Type::kText, "", "", false, {}, ""});
  const auto said = refusal_of([&] { settings.add({"own", Type::kText, "", "", false, {}, ""}); });
  EXPECT_THAT(said, AllOf(HasSubstr(fmt::format("settings_test.cc:{}: setting own is declared twice", first + 1)),
                          HasSubstr(fmt::format("settings_test.cc:{}", first))));
}

TEST_F(SettingsTest, AnAppsOwnSettingMayNotTakeAnAlias) {
  EXPECT_NE(refusal_of([&] { settings.add({"kafka.servers", Type::kText, "", "", false, {}, ""}); }), "(taken)");
}

TEST_F(SettingsTest, AnAppsOwnCheckRefusesWithItsReason) {
  settings.add({"service.url", Type::kText, "http://x", "", false, {}, "", [](const std::string& text) {
                  return text.starts_with("http") ? "" : "write http:// before it";
                }});
  EXPECT_THAT(refusal_of("service.url", "ftp://x"), HasSubstr("service.url: write http:// before it"));
}

}  // namespace
}  // namespace mephisto::tests
