// Settings: one table with every setting's name, default and meaning. A value comes from the default, config.yml, the
// environment or the command line; the later ones override the earlier. docs/settings.md and `config` come from the
// same table.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

namespace mephisto {

struct SettingSpec {
  enum class Type { kText, kInteger, kDuration, kBytes, kFlag, kChoice };

  std::string name{};  // dotted, as in config.yml: `service.apikey`
  Type type = Type::kText;
  std::string default_value{};
  std::string help{};
  bool secret = false;                                     // never shown
  std::vector<std::string> choices{};                      // for kChoice
  std::string alias{};                                     // an alternative name
  std::function<std::string(const std::string&)> check{};  // the error of a value; empty: none
  std::int64_t least = 0;                                  // for kInteger; for kDuration in milliseconds
  std::int64_t most = std::numeric_limits<std::int64_t>::max();
  bool list = false;  // may be a list in config.yml, whose items are then joined by `;`
};

class Settings {
 public:
  // `app_id` is the prefix of the environment variables: HORTON_SERVICE_APIKEY for service.apikey.
  explicit Settings(std::string app_id);

  // Adds an app's own setting. Throws Failure when its name or alias is taken.
  void add(SettingSpec spec, std::source_location where = std::source_location::current());

  // These check the name and the type of the value (kInvalid; the error suggests the nearest name). `source` appears in
  // messages: `config.yml`, `--set`.
  void load_yaml(const std::string& path);
  // Also reads the file that NAME_FILE names, for secrets: HORTON_SERVICE_APIKEY_FILE.
  void load_environment();
  void set(const std::string& name, const std::string& value, std::string source);

  const std::string& text(std::string_view name) const;
  std::int64_t integer(std::string_view name) const;
  std::chrono::milliseconds duration(std::string_view name) const;
  std::size_t bytes(std::string_view name) const;
  bool flag(std::string_view name) const;

  // The values below `section`, without that prefix: with "kafka.properties", librdkafka's properties.
  std::map<std::string, std::string> below(std::string_view section) const;

  struct Row {
    const SettingSpec* spec;
    std::string value;  // `***` for a secret that is set
    std::string source;
    std::string environment;
  };
  // Every setting, in the table's order.
  std::vector<Row> rows() const;

 private:
  struct Value {
    std::string text;
    std::string source;
  };
  // The setting with this name or alias, or null.
  const SettingSpec* find(const std::string& name) const;
  // The same; creates a setting for a property of librdkafka.
  const SettingSpec* find_or_make(const std::string& name);
  const Value& value(std::string_view name) const;
  std::string environment_name(const std::string& name) const;
  void set_from_environment(const std::string& name, const std::string& variable);

  std::string app_id_;
  std::vector<SettingSpec> specs_;
  std::map<std::string, Value, std::less<>> values_;
  std::map<std::string, std::source_location> declared_at_;  // only for the app's own settings
};

}  // namespace mephisto
