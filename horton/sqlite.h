// SQLite with our errors: connections, statements, and names in SQL. The documents use it.
#pragma once

#include <sqlite3.h>

#include <boost/json.hpp>
#include <string>
#include <string_view>

namespace horton {

// Opens or creates a file for several processes: WAL, synchronous=FULL. Throws Failure with what is wrong with the
// file.
sqlite3* open_database(const std::string& path);

// Runs SQL without results.
void execute(sqlite3* database, const std::string& sql);

class Statement {
 public:
  Statement(sqlite3* database, const std::string& sql);
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  // Binds the next parameter: a number or a text.
  void bind(const boost::json::value& value);
  // True while there is a row. kInvalid if a unique index forbids the change.
  bool step();
  std::string_view text(int column) const;

 private:
  sqlite3* database_;
  sqlite3_stmt* statement_ = nullptr;
  int bound_ = 0;
};

// A name and a text in the form that SQL needs.
std::string sql_name(std::string_view name);
std::string sql_text(std::string_view text);

}  // namespace horton
