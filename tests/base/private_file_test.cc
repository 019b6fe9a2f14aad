#include "base/private_file.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "mephisto/error.h"

namespace mephisto::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

namespace fs = std::filesystem;

constexpr uid_t kNobody = 65534;

class PrivateFile : public ::testing::Test {
 protected:
  PrivateFile() {
    auto pattern = (fs::temp_directory_path() / "mephisto-private-XXXXXX").string();
    if (mkdtemp(pattern.data()) == nullptr) throw Failure(ErrorKind::kUnavailable, "no folder");
    folder = pattern;
  }
  ~PrivateFile() override {
    umask(before);
    fs::remove_all(folder);
  }
  std::string at(const std::string& name) const { return folder + "/" + name; }
  std::string make(const std::string& name, const std::string& content = "x") const {
    std::ofstream{at(name)} << content;
    return at(name);
  }
  static mode_t mode(const std::string& path) {
    struct stat found{};
    EXPECT_EQ(stat(path.c_str(), &found), 0) << path;
    return found.st_mode & ALLPERMS;
  }
  static std::string why(const std::function<void()>& action) {
    try {
      action();
    } catch (const Failure& failure) {
      return failure.what();
    }
    return "";
  }
  static std::string why_not_opened(const std::string& path) {
    return why([&] { ::close(open_own_file(path)); });
  }

  std::string folder;
  mode_t before = umask(022);
};

TEST_F(PrivateFile, IsItsOwnersOnlyWhateverTheUmaskIs) {
  for (mode_t mask : {0U, 022U, 0277U, 0777U}) {
    umask(mask);
    const auto path = at(std::to_string(mask) + "/a/b");
    own_folder(path);
    EXPECT_EQ(mode(path), 0700U) << mask;
    EXPECT_EQ(mode(at(std::to_string(mask))), 0700U) << mask;
    ::close(open_own_file(path + "/file"));
    EXPECT_EQ(mode(path + "/file"), 0600U) << mask;
    ::close(open_own_log_file(path + "/log"));
    EXPECT_EQ(mode(path + "/log") & 077U, 0U) << mask;
  }
}

TEST_F(PrivateFile, TakesAwayWhatOthersMayDoAndKeepsTheContent) {
  own_folder(at("old"));
  make("old/file", "kept");
  make("old/log", "kept");
  for (const auto* name : {"old", "old/file", "old/log"}) ASSERT_EQ(chmod(at(name).c_str(), 0777), 0);
  own_folder(at("old"));
  ::close(open_own_file(at("old/file")));
  ::close(open_own_log_file(at("old/log")));
  EXPECT_EQ(mode(at("old")), 0700U);
  EXPECT_EQ(mode(at("old/file")), 0600U);
  EXPECT_EQ(mode(at("old/log")), 0600U);
  EXPECT_EQ(fs::file_size(at("old/file")), 4U);
}

TEST_F(PrivateFile, NeverLeadsThroughALink) {
  const auto target = make("target");
  for (const auto& to : {target, at("nothing"), std::string{"/dev/null"}}) {
    fs::create_symlink(to, at("link"));
    EXPECT_THAT(why_not_opened(at("link")), AllOf(HasSubstr(at("link")), HasSubstr("link"), HasSubstr("remove it")));
    fs::remove(at("link"));
  }
  fs::create_hard_link(target, at("second"));
  EXPECT_THAT(why_not_opened(at("second")), HasSubstr("another name"));
  EXPECT_FALSE(fs::exists(at("nothing")));
}

TEST_F(PrivateFile, IsAPlainFile) {
  ASSERT_EQ(mkfifo(at("pipe").c_str(), 0600), 0);
  EXPECT_THAT(why_not_opened(at("pipe")), HasSubstr("not a plain file")) << "and nobody is waited for";
  fs::create_directory(at("folder"));
  EXPECT_THAT(why_not_opened(at("folder")), HasSubstr("directory"));
}

TEST_F(PrivateFile, IsNeverAnotherUsers) {
  ASSERT_EQ(geteuid(), 0U) << "this test gives files away";
  const auto file = make("file");
  own_folder(at("data"));
  for (const auto& path : {file, at("data")}) ASSERT_EQ(chown(path.c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(why_not_opened(file), AllOf(HasSubstr("nobody"), HasSubstr("root")));
  EXPECT_THAT(why([&] { own_folder(at("data")); }), AllOf(HasSubstr(at("data")), HasSubstr("nobody")));
  EXPECT_THAT(why([&] { ::close(open_own_log_file(file)); }), HasSubstr("nobody"));
}

TEST_F(PrivateFile, AFolderMayBeReachedThroughOnesOwnLinkOnly) {
  own_folder(at("real"));
  fs::create_directory_symlink(at("real"), at("link"));
  own_folder(at("link"));
  ASSERT_EQ(lchown(at("link").c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(why([&] { own_folder(at("link")); }), AllOf(HasSubstr("link"), HasSubstr("nobody")));
  fs::create_symlink(make("target"), at("log"));
  ::close(open_own_log_file(at("log")));
  ASSERT_EQ(lchown(at("log").c_str(), kNobody, kNobody), 0);
  EXPECT_THAT(why([&] { ::close(open_own_log_file(at("log"))); }), HasSubstr("nobody"));
}

TEST_F(PrivateFile, AFolderThatEverybodyCouldExchangeIsRefused) {
  own_folder(at("open/data"));
  ASSERT_EQ(chmod(at("open").c_str(), 0777), 0);
  EXPECT_THAT(why([&] { own_folder(at("open/data")); }), HasSubstr("everybody"));
  ASSERT_EQ(chmod(at("open").c_str(), 01777), 0);
  own_folder(at("open/data"));
}

TEST_F(PrivateFile, LinesMayGoToADevice) {
  const auto rights = mode("/dev/null");
  ::close(open_own_log_file("/dev/null"));
  EXPECT_EQ(mode("/dev/null"), rights);
}

}  // namespace
}  // namespace mephisto::test
