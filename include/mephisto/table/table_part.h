// One partition of a table on the shard that has the partition.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/log.h"
#include "mephisto/store/store.h"
#include "mephisto/stream/outbox.h"
#include "mephisto/stream/unit_of_work.h"

namespace mephisto::detail {

// A table as declared.
struct TableSpec {
  std::string name;
  std::size_t number = 0;  // among the tables of the app
  TopicSpec changelog;
  std::string store;              // empty: the setting `store`
  bool global = false;            // every shard has all of it
  bool log_every_update = false;  // otherwise the updates of a key within a commit are one record of the changelog
  std::optional<std::chrono::milliseconds> close_idle;  // of operators (idle_partitions.h); none: the setting
  // The topics whose events change it together: it is used when the shard has the same partition of all of them.
  std::set<std::string> inputs;
  std::string help;
  std::source_location where;
};

class TablePart {
 public:
  TablePart(const TableSpec& spec, int partition, Loop& loop) : spec_(spec), partition_(partition), loop_(loop) {}
  virtual ~TablePart() = default;
  TablePart(const TablePart&) = delete;
  TablePart& operator=(const TablePart&) = delete;

  const TableSpec& spec() const { return spec_; }
  TopicPartition changelog() const { return {spec_.changelog.name, partition_}; }
  int partition() const { return partition_; }
  Store& store() { return *store_; }
  const Store& store() const { return *store_; }
  // Whether its state is restored and it is not closed.
  bool ready() const { return ready_; }

  // Takes the store and brings it up to date with records of the changelog; the state is restored after start().
  void open(std::unique_ptr<Store> store) { store_ = std::move(store); }
  bool is_open() const { return store_ != nullptr; }
  void replay(const std::vector<RecordView>& records, std::int64_t next_offset);
  void start() { ready_ = true; }
  // The shard does not have the partition any more. Changes that are not in the store are gone.
  void close();

  // Takes over the changes of a unit that is done.
  virtual void merge(StateChange& change) = 0;
  virtual bool has_merged() const = 0;
  // Adds the changes that were merged since the last call to `records`. Then comes committed() or roll_back().
  void prepare(BatchBuilder& records);
  // The changes are in the changelog before `position`; they go into the store.
  void committed(std::int64_t position);
  // Takes back all changes since the last committed().
  void roll_back();

 protected:
  // A change that is on its way into the changelog and then into the store.
  struct Pending {
    std::string key;
    std::optional<std::string> value;
  };

  // The stored form of a key of the changelog, and the other way.
  virtual std::string stored_key(std::string_view json) const = 0;
  virtual void write_key(std::string_view stored, Buffer& out) const = 0;
  // The merged changes are prepared now; gives the last one of each key.
  virtual void collect(std::vector<Pending>& pending) = 0;
  // The prepared changes are final.
  virtual void forget_prepared() = 0;
  // Takes back the merged and the prepared changes.
  virtual void undo() = 0;
  // Adds a change to the changelog's next batch.
  void log(std::string_view key, std::optional<std::string_view> value);

 private:
  const TableSpec& spec_;
  int partition_;
  Loop& loop_;
  std::unique_ptr<Store> store_;
  bool ready_ = false;
  bool prepared_ = false;  // changes are on their way into the changelog
  BatchBuilder logged_;
  Buffer json_;
  std::vector<Pending> pending_;
};

}  // namespace mephisto::detail
