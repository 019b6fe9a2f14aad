// The description of a record that the commands `models` and `model` show.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mephisto/topic.h"

namespace mephisto {
namespace {

struct Order {
  static constexpr std::string_view kNamespace = "shop.Order";
  std::string id;
  std::string class_;
  int quantity = 1;
  std::string currency = "USD";
  std::optional<double> limit;
  std::chrono::milliseconds wait{1500};
  std::pair<int, int> range;
  static constexpr FieldOptions kFields[] = {{.member = "class_", .name = "class"},
                                             {.member = "range", .may_be_missing = true}};
};

TEST(Model, HasTheNamesOfTheWireAndWhatIsRequired) {
  std::vector<std::string> lines;
  for (const auto& field : detail::model_of(json::shape_of<Order>()).fields)
    lines.push_back(field.name + " " + field.type + " " + (field.required ? "*" : field.initial));
  EXPECT_THAT(lines, testing::ElementsAre("id str *", "class str *", "quantity int 1", "currency str \"USD\"",
                                          "limit float null", "wait seconds 1.5", "range list [0,0]"));
}

TEST(Model, ChecksATextAsAReaderDoes) {
  const auto model = detail::model_of(json::shape_of<Order>());
  EXPECT_TRUE(model.check(R"({"id":"a","class":"b"})"));
  EXPECT_EQ(model.check(R"({"id":"a"})").error().message,
            "class: the field is missing, and it has no initial value to take instead");
}

}  // namespace
}  // namespace mephisto
