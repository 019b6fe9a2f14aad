// Helpers on text: suggestions, UTF-8, base64.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "base/text.h"
#include "mephisto/base/ids.h"

namespace mephisto {
namespace {

using testing::ElementsAre;

const std::vector<std::string> kCommands{"agents", "topics", "tables", "worker", "send"};

TEST(Nearest, FindsWhatWasMistyped) { EXPECT_EQ(nearest("agnets", kCommands), "agents"); }
TEST(Nearest, DoesNotLookAtCase) { EXPECT_EQ(nearest("WORKR", kCommands), "worker"); }
TEST(Nearest, FindsTheWordItself) { EXPECT_EQ(nearest("send", kCommands), "send"); }
TEST(Nearest, TakesSwappedNeighboursForOneMistake) { EXPECT_EQ(nearest("sned", kCommands), "send"); }
TEST(Nearest, PrefersTheNearerOfTwo) { EXPECT_EQ(nearest("tabels", kCommands), "tables"); }
TEST(Nearest, SaysNothingWhenNoneIsNear) { EXPECT_EQ(nearest("livecheck", kCommands), std::nullopt); }
TEST(Nearest, SaysNothingAboutShortWordsThatShareNothing) { EXPECT_EQ(nearest("xy", kCommands), std::nullopt); }
TEST(Nearest, SaysNothingWithoutCandidates) { EXPECT_EQ(nearest("send", {}), std::nullopt); }
TEST(DidYouMean, AsksForTheNearest) { EXPECT_EQ(did_you_mean("topcis", kCommands), R"(; did you mean "topics"?)"); }
TEST(DidYouMean, NeverAsksForTheWordItself) { EXPECT_EQ(did_you_mean("topics", kCommands), ""); }
TEST(DidYouMean, IsEmptyWhenNoneIsNear) { EXPECT_EQ(did_you_mean("livecheck", kCommands), ""); }

TEST(Text, CaseChangesForAsciiOnly) {
  EXPECT_EQ(to_upper("aZ9\xc3\xa9"), "AZ9\xc3\xa9");
  EXPECT_EQ(to_lower("aZ9\xc3\x89"), "az9\xc3\x89");
}
TEST(Text, TrimTakesSpaceFromBothEnds) { EXPECT_EQ(trim(" \t\r\n a b \n"), "a b"); }
TEST(Text, TrimOfSpaceIsEmpty) { EXPECT_EQ(trim(" \n"), ""); }
TEST(Text, SplitKeepsEmptyParts) { EXPECT_THAT(split("a,,b,", ','), ElementsAre("a", "", "b", "")); }
TEST(Text, SplitOfNothingIsOneEmptyPart) { EXPECT_THAT(split("", ','), ElementsAre("")); }

TEST(Printable, LeavesPlainTextAlone) {
  EXPECT_EQ(printable("caf\xc3\xa9 \xf0\x9f\x98\x80"), "caf\xc3\xa9 \xf0\x9f\x98\x80");
}
TEST(Printable, ShowsControlCharacters) {
  EXPECT_EQ(printable(std::string_view{"a\0\n\x1b\x7f", 5}), R"(a\x00\x0a\x1b\x7f)");
}
TEST(Printable, ShowsBrokenUtf8) { EXPECT_EQ(printable("\xff\xc3(\xc3"), R"(\xff\xc3(\xc3)"); }
TEST(Printable, CutsLongTextAndSaysSo) { EXPECT_EQ(printable("abcdefgh", 5), "abcde…"); }
TEST(Printable, DoesNotMarkTextThatJustFits) { EXPECT_EQ(printable("abcde", 5), "abcde"); }
TEST(Printable, DoesNotCutACharacterInTwo) {
  EXPECT_TRUE(valid_utf8(printable("abcd\xf0\x9f\x98\x80\xf0\x9f\x98\x80", 5)));
}

TEST(Printable, CutsNothingWhereTheWholeIsWanted) {
  EXPECT_EQ(printable(std::string(5000, 'x'), kWhole), std::string(5000, 'x'));
}

// Characters that a terminal acts on or that are invisible, as UTF-8 and in the form of a JSON string.
const std::pair<std::string, std::string> kUnsafe[] = {
    {"\x01", R"(\u0001)"},         {"\x1b", R"(\u001b)"},         {"\x7f", R"(\u007f)"},
    {"\xc2\x80", R"(\u0080)"},     {"\xc2\x9b", R"(\u009b)"},     {"\xc2\x9f", R"(\u009f)"},
    {"\xd8\x9c", R"(\u061c)"},     {"\xe2\x80\x8b", R"(\u200b)"}, {"\xe2\x80\x8e", R"(\u200e)"},
    {"\xe2\x80\x8f", R"(\u200f)"}, {"\xe2\x80\xa8", R"(\u2028)"}, {"\xe2\x80\xa9", R"(\u2029)"},
    {"\xe2\x80\xaa", R"(\u202a)"}, {"\xe2\x80\xae", R"(\u202e)"}, {"\xe2\x81\xa6", R"(\u2066)"},
    {"\xe2\x81\xa9", R"(\u2069)"}, {"\xef\xbb\xbf", R"(\ufeff)"}, {"\xf3\xa0\x81\x81", R"(\udb40\udc41)"},
};
TEST(Printable, ShowsWhatATerminalActsOnAndWhatNobodySees) {
  for (const auto& [text, unused] : kUnsafe) {
    std::string bytes;
    for (unsigned char c : text) bytes += fmt::format("\\x{:02x}", c);
    EXPECT_EQ(printable("a" + text + "b"), "a" + bytes + "b");
  }
}
TEST(Printable, LeavesTheirNeighboursAlone) {
  for (std::string_view text : {" ", "~", "\xc2\xa0", "\xd8\x9b", "\xd8\x9d", "\xe2\x80\x8d", "\xe2\x80\x90",
                                "\xe2\x80\xaf", "\xe2\x81\x9f", "\xe2\x81\xb0", "\xef\xbf\xbd"}) {
    EXPECT_EQ(printable(text), text);
    EXPECT_EQ(printable_json(text), text);
  }
}

TEST(PrintableJson, EscapesTheSameCharacters) {
  for (const auto& [text, escaped] : kUnsafe)
    EXPECT_EQ(printable_json("[\"a" + text + "\"]"), "[\"a" + escaped + "\"]");
}
TEST(PrintableJson, IsOneLine) {
  EXPECT_EQ(printable_json("{\n\t\"a\": 1,\r\n\t\"b\": 2\n}"), "{  \"a\": 1,   \"b\": 2 }");
}
TEST(PrintableJson, LeavesPlainTextAndEscapesAlone) {
  EXPECT_EQ(printable_json(R"({"café":"\u001b\n\\"})"), R"({"café":"\u001b\n\\"})");
}
TEST(PrintableJson, HasTheReplacementCharacterForBrokenUtf8) { EXPECT_EQ(printable_json("\"\xff\""), R"("\ufffd")"); }

TEST(ValidUtf8, AcceptsTheFirstAndLastCharacterOfEveryLength) {
  for (std::string_view text : {"", "\x01", "\x7f", "\xc2\x80", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf",
                                "\xee\x80\x80", "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf"}) {
    EXPECT_TRUE(valid_utf8(text)) << printable(text);
  }
}
TEST(ValidUtf8, AcceptsAZeroByte) { EXPECT_TRUE(valid_utf8(std::string_view{"a\0b", 3})); }
TEST(ValidUtf8, RefusesOverlongForms) {
  for (std::string_view text :
       {"\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf"})
    EXPECT_FALSE(valid_utf8(text)) << printable(text);
}
TEST(ValidUtf8, RefusesSurrogates) {
  for (std::string_view text : {"\xed\xa0\x80", "\xed\xaf\xbf", "\xed\xb0\x80", "\xed\xbf\xbf"})
    EXPECT_FALSE(valid_utf8(text)) << printable(text);
}
TEST(ValidUtf8, RefusesCharactersBeyondTheLast) {
  for (std::string_view text : {"\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80", "\xff"})
    EXPECT_FALSE(valid_utf8(text)) << printable(text);
}
TEST(ValidUtf8, RefusesCharactersCutShort) {
  for (std::string_view text : {"\xc3", "\xe2\x80", "\xf0\x9f\x98", "abc\xf0", "\xe2\x80(", "\xc3\xc3\xa9"})
    EXPECT_FALSE(valid_utf8(text)) << printable(text);
}
TEST(ValidUtf8, RefusesLoneContinuations) { EXPECT_FALSE(valid_utf8("a\x80")); }
TEST(ValidUtf8, DoesNotReadBeyondTheText) {
  EXPECT_FALSE(valid_utf8(std::string_view{"\xf0\x9f\x98\x80"}.substr(0, 2)));
}

TEST(Base64, EncodesTheVectorsOfRfc4648) {
  EXPECT_EQ(base64_encode(""), "");
  EXPECT_EQ(base64_encode("f"), "Zg==");
  EXPECT_EQ(base64_encode("fo"), "Zm8=");
  EXPECT_EQ(base64_encode("foo"), "Zm9v");
  EXPECT_EQ(base64_encode("foob"), "Zm9vYg==");
  EXPECT_EQ(base64_encode("fooba"), "Zm9vYmE=");
  EXPECT_EQ(base64_encode("foobar"), "Zm9vYmFy");
}
TEST(Base64, UsesPlusAndSlash) { EXPECT_EQ(base64_encode("\xfb\xff\xbf"), "+/+/"); }
TEST(Base64, EncodesWhatFaustsBinaryCodecDoes) { EXPECT_EQ(base64_encode(R"({"a":1})"), "eyJhIjoxfQ=="); }
TEST(Base64, DecodesWhatItEncodes) {
  Random random{1};
  std::string bytes;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(base64_decode(base64_encode(bytes)), bytes);
    bytes += static_cast<char>(random.next());
  }
}
TEST(Base64, RefusesAWrongLength) {
  for (auto text : {"Z", "Zg", "Zg=", "Zm9vY"}) EXPECT_EQ(base64_decode(text), std::nullopt) << text;
}
TEST(Base64, RefusesOtherCharacters) {
  for (auto text : {"Zg_=", "Zm9-", "Zm9 ", "Zm9\n", "Zm\xc3\xa9"})
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
}
TEST(Base64, RefusesPaddingInTheWrongPlace) {
  for (auto text : {"====", "Z===", "=Zg=", "Z=g=", "Zg=a", "Zg==Zg=="})
    EXPECT_EQ(base64_decode(text), std::nullopt) << text;
}

}  // namespace
}  // namespace mephisto
