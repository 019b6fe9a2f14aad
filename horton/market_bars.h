// The daily prices of the stand-in market: from files, and for other symbols synthetic ones that say so.
#pragma once

#include <chrono>
#include <map>
#include <string>
#include <vector>

namespace horton {

class MarketBars {
 public:
  // Reads FOLDER/SYMBOL.csv with the columns timestamp,open,high,low,close,adjusted_close,volume. Throws Failure for a
  // file that is not so.
  explicit MarketBars(const std::string& folder);

  bool has_file(const std::string& symbol) const { return files_.contains(symbol); }
  // Replies to TIME_SERIES_DAILY and its kin, and to GLOBAL_QUOTE. Synthetic prices end before `today`; a day keeps its
  // price on every later day.
  std::string series(const std::string& symbol, bool adjusted, bool full, std::chrono::sys_days today) const;
  std::string quote(const std::string& symbol, std::chrono::sys_days today) const;

 private:
  struct Row {
    std::string date;
    std::vector<std::string> columns;  // open to volume
  };
  std::vector<Row> rows_of(const std::string& symbol, std::chrono::sys_days today) const;

  std::map<std::string, std::vector<Row>> files_;
};

}  // namespace horton
