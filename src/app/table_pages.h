// The pages /table/NAME and /table/NAME/KEY: every worker answers for all rows of all tables. It reads the partitions
// that it has, and asks the other workers for theirs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "app/shard_rows.h"
#include "app/worker_addresses.h"
#include "mephisto/http.h"
#include "mephisto/web/page.h"

namespace mephisto::detail {

class TablePages {
 public:
  // What this worker has of a table.
  using Local = std::function<Task<std::vector<PartRows>>(const TableBase& table, RowQuery query)>;

  TablePages(App& app, std::shared_ptr<Log> log, Local local);
  ~TablePages();

  void add_to(Router& router);
  // Tells the other workers the address of this one, and learns theirs, until it is cancelled.
  Task<void> run(std::string url) { return addresses_.run(std::move(url)); }
  Task<void> close() { return addresses_.remove(addresses_.own()); }

 private:
  struct Wanted;
  struct Answer;
  Task<HttpReply> answer(std::string name, std::optional<std::string> key, HttpRequest request);
  Task<Answer> own_answer(const Wanted& wanted);
  // None if the worker does not answer, or another one has its address now.
  Task<std::optional<Answer>> ask(std::string worker, std::string url, const Wanted& wanted);
  Task<int> partitions_of(const TableBase& table);

  App& app_;
  std::shared_ptr<Log> log_;
  Local local_;
  WorkerAddresses addresses_;
  std::map<std::string, int> partitions_;  // by the changelog
  std::unique_ptr<HttpClient> client_;
};

}  // namespace mephisto::detail
