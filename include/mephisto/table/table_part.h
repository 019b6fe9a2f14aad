// One partition of a table on the shard that has the partition.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <source_location>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "mephisto/log.h"
#include "mephisto/store/store.h"
#include "mephisto/stream/outbox.h"
#include "mephisto/stream/unit_of_work.h"
#include "mephisto/table/table_form.h"
#include "mephisto/table/row_visit.h"
#include "mephisto/table/timed_rows.h"

namespace mephisto::detail {

class Snapshots;

// A table as declared.
struct TableSpec {
  std::string name;
  std::size_t number = 0;  // among the tables of the app
  TopicSpec changelog;
  TableForm form;
  std::string store;  // empty: the setting `store`
  Expiry expiry;
  bool global = false;            // every shard has all of it
  bool use_partitioner = false;   // a row belongs to the partition of its key
  bool log_every_update = false;  // otherwise the updates of a key within a commit are one record of the changelog
  bool (*every_update_of)(std::string_view key) = nullptr;  // with it, of these keys only; null: of all
  std::optional<std::chrono::milliseconds> close_idle;      // of operators (idle_partitions.h); none: the setting
  // The topics whose events change it together: it is used when the shard has the same partition of all of them. Empty:
  // all topics of the app with the table's number of partitions.
  std::set<std::string> inputs;
  std::string help;
  std::source_location where;

  // Of its stores. The rows of a table that expires have another form.
  std::string store_name() const { return expiry.timed ? changelog.name + "-timed" : changelog.name; }
};

// The last record of the changelog that a store has. If the changelog has another record there, it was made anew.
struct LastRecord {
  std::int64_t offset = -1;  // -1: not known
  std::int64_t time_ms = 0;
};

class TablePart {
 public:
  TablePart(const TableSpec& spec, int partition, Loop& loop)
      : spec_(spec), partition_(partition), loop_(loop), timed_(spec.expiry) {}
  virtual ~TablePart() = default;
  TablePart(const TablePart&) = delete;
  TablePart& operator=(const TablePart&) = delete;

  const TableSpec& spec() const { return spec_; }
  TopicPartition changelog() const { return {spec_.changelog.name, partition_}; }
  int partition() const { return partition_; }
  // While it is open.
  const Store& store() const { return *store_; }
  // Whether its state is restored and it is not closed.
  bool ready() const { return ready_; }

  // Takes the store and brings it up to date with records of the changelog; the state is restored after start().
  void open(std::unique_ptr<Store> store);
  LastRecord last() const;
  std::function<std::filesystem::path()> snapshot_writer(const Snapshots& snapshots) const;
  bool is_open() const { return store_ != nullptr; }
  // A change of a row as the changelog has it. The value is a part of its record.
  struct LoggedRow {
    std::string key;
    std::optional<std::string_view> value;
    std::int64_t time;
  };
  // The first throws Failure for a record that is none of this table's; the second, as Store::apply.
  std::vector<LoggedRow> rows_of(std::span<const RecordView> records) const;
  void replay(const std::vector<LoggedRow>& rows, LastRecord last, std::int64_t next_offset);
  void start() { ready_ = true; }
  // The shard does not have the partition any more. Changes that are not in the store are gone.
  void close();
  // Called when the store fails while the part is ready. The part is closed then.
  std::function<void(TablePart& part, const Error& error)> on_lost{};

  // Takes over the changes of a unit that is done.
  virtual void merge(StateChange& change) = 0;
  // Whether there is something to commit; first erases the rows that have expired.
  bool has_merged();
  // Adds the changes that were merged since the last call to `records`. Then comes committed() or roll_back().
  void prepare(BatchBuilder& records);
  // The changes are in the changelog before `position`, the last one with this time; they go into the store. If that
  // fails, the part is lost: the changelog has them.
  void committed(std::int64_t position, Timestamp time);
  // Takes back all changes since the last committed().
  void roll_back();

  // Visits at most `most` rows with from <= stored key < to (empty: to the end), as the changelog has them. Gives the
  // stored key to go on with; none at the end.
  std::optional<std::string> visit(std::string_view from, std::string_view to, std::size_t most, const RowVisit& visit);
  // The stored key of the row that has this JSON as its key in the changelog; none if rows are not found by it alone.
  // An error if it is no key of this table.
  virtual std::optional<Result<std::string>> stored_key(std::string_view key) const = 0;

  // The time of the partition, of a table whose rows have times.
  bool timed() const { return spec_.expiry.timed; }
  TimedRows& times() { return timed_; }

 protected:
  using Read = std::pair<std::string, std::optional<std::string_view>>;  // a row's key and value

  // A change that is on its way into the changelog and then into the store.
  struct Pending {
    std::string_view key;  // of the row, which stays until forget_prepared()
    std::optional<std::string> value;
    std::int64_t time = 0;
    bool existed = false;  // in the store
  };

  // Adds the changes of rows that a record of the changelog means, and the other way: writes the record's key, and
  // gives its value, which may be in `buffer`.
  virtual void read(const RecordView& record, std::vector<Read>& changes) const = 0;
  virtual std::optional<std::string_view> write(std::string_view key, std::optional<std::string_view> value,
                                                Buffer& wire_key, Buffer& buffer) const = 0;
  virtual bool any_merged() const = 0;
  // Erases the row as a change of its own; false if a unit of work has it, or it has changed since the last commit.
  virtual bool erase_expired(std::string_view key) = 0;
  // The merged changes are prepared now; gives the last one of each key.
  virtual void collect(std::vector<Pending>& pending) = 0;
  // The prepared changes are final.
  virtual void forget_prepared() = 0;
  // Takes back the merged and the prepared changes.
  virtual void undo() = 0;
  bool logs_every_update(std::string_view key) const {
    return spec_.log_every_update && (spec_.every_update_of == nullptr || spec_.every_update_of(key));
  }
  // Adds a change to the changelog's next batch.
  void log(std::string_view key, std::optional<std::string_view> value, std::int64_t time);
  // A row as the store has it, with its time if rows have times; valid until the next call. If the state is lost, the
  // running unit of work ends and its event is delivered again.
  std::optional<TimedRows::Row> stored(std::string_view key);
  // Visits the rows with from <= key < to that have not expired, until `visit` returns false; as stored().
  void scan_stored(std::string_view from, std::string_view to,
                   const std::function<bool(std::string_view key, std::string_view value)>& visit);
  bool expired(std::string_view key, std::int64_t time) const {
    return spec_.expiry.timed && timed_.expired(key, time);
  }

 private:
  void sweep();
  void lost(const Error& error);
  [[noreturn]] void end_unit();

  const TableSpec& spec_;
  int partition_;
  Loop& loop_;
  std::unique_ptr<Store> store_;
  bool ready_ = false;
  bool sweeping_ = false;
  std::optional<Error> failed_;  // of the store, while a commit was prepared
  bool prepared_ = false;        // changes are on their way into the changelog
  WaitQueue never_;              // what a unit waits for that runs again without this part
  BatchBuilder logged_;
  Buffer json_;
  std::vector<Pending> pending_;
  Buffer wire_value_;
  TimedRows timed_;
  std::vector<TimedRows::Due> expired_;  // the entries of the index whose rows the next commit erases
};

}  // namespace mephisto::detail
