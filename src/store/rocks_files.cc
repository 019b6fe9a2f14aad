#include "store/rocks_files.h"

#include <fcntl.h>
#include <rocksdb/file_system.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <thread>

namespace mephisto::detail {
namespace {

std::atomic<int> waiting{0};  // writes that wait for space

bool is_full(int error) { return error == ENOSPC || error == EDQUOT; }

// Calls `attempt` until it succeeds or fails for another reason than a full disk. Returns its error.
int with_patience(const std::atomic<bool>& wait, auto attempt) {
  int error = attempt();
  if (!is_full(error) || !wait) return error;
  ++waiting;
  while (is_full(error) && wait) {
    std::this_thread::sleep_for(std::chrono::milliseconds{20});
    error = attempt();
  }
  --waiting;
  return error;
}

// Reserves the space before it writes, so that a write is not cut off in the middle.
class PatientFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  PatientFile(std::unique_ptr<rocksdb::FSWritableFile> file, const std::string& path, const std::atomic<bool>& wait)
      : FSWritableFileOwnerWrapper(std::move(file)), wait_(wait), reserve_(open(path.c_str(), O_WRONLY | O_CLOEXEC)) {}
  ~PatientFile() override { ::close(reserve_); }

  using FSWritableFileOwnerWrapper::Append;
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           rocksdb::IODebugContext* context) override {
    reserve(data.size());
    return FSWritableFileOwnerWrapper::Append(data, options, context);
  }
  rocksdb::IOStatus Append(const rocksdb::Slice& data, const rocksdb::IOOptions& options,
                           const rocksdb::DataVerificationInfo& check, rocksdb::IODebugContext* context) override {
    reserve(data.size());
    return FSWritableFileOwnerWrapper::Append(data, options, check, context);
  }

 private:
  // If it fails, the write itself fails too and tells why.
  void reserve(std::size_t bytes) {
    (void)with_patience(wait_, [&] {
      return fallocate(reserve_, FALLOC_FL_KEEP_SIZE, size_, static_cast<off_t>(bytes)) == 0 ? 0 : errno;
    });
    size_ += static_cast<off_t>(bytes);
  }

  const std::atomic<bool>& wait_;
  const int reserve_;
  off_t size_ = 0;
};

}  // namespace

class PrivateFiles final : public rocksdb::FileSystemWrapper {
 public:
  PrivateFiles() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
  const char* Name() const override { return "MephistoPrivateFiles"; }

  rocksdb::IOStatus NewWritableFile(const std::string& path, const rocksdb::FileOptions& options,
                                    std::unique_ptr<rocksdb::FSWritableFile>* file,
                                    rocksdb::IODebugContext* context) override {
    rocksdb::IOStatus status;
    (void)with_patience(wait, [&] {
      status = target()->NewWritableFile(path, options, file, context);
      return status.IsNoSpace() ? ENOSPC : 0;
    });
    status = owned(path, S_IRUSR | S_IWUSR, status);
    if (status.ok()) *file = std::make_unique<PatientFile>(std::move(*file), path, wait);
    return status;
  }
  rocksdb::IOStatus CreateDir(const std::string& path, const rocksdb::IOOptions& options,
                              rocksdb::IODebugContext* context) override {
    return owned(path, S_IRWXU, target()->CreateDir(path, options, context));
  }
  rocksdb::IOStatus LockFile(const std::string& path, const rocksdb::IOOptions& options, rocksdb::FileLock** lock,
                             rocksdb::IODebugContext* context) override {
    return owned(path, S_IRUSR | S_IWUSR, target()->LockFile(path, options, lock, context));
  }

  std::atomic<bool> wait = false;

 private:
  // RocksDB gives its files the rights of the umask.
  static rocksdb::IOStatus owned(const std::string& path, mode_t mode, rocksdb::IOStatus status) {
    if (status.ok() && chmod(path.c_str(), mode) != 0) return rocksdb::IOStatus::IOError("cannot change rights", path);
    return status;
  }
};

RocksFiles::RocksFiles() : files_(std::make_shared<PrivateFiles>()), env_(rocksdb::NewCompositeEnv(files_)) {}

void RocksFiles::wait_for_space(bool wait) { files_->wait = wait; }

bool RocksFiles::disk_is_full() { return waiting > 0; }

}  // namespace mephisto::detail
