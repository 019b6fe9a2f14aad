#!/usr/bin/env bash
# Package: liblmdb0 and liblmdb-dev 0.9.24-1 (Debian 12).
# One expects: the file of an LMDB environment holds every page up to me_last_pgno of mdb_env_info. A tool that checks
# a copy for its size, or that reads the pages up to the last one, would rely on that.
# What happens: a page that a transaction takes and frees again has a number, and may never be written. After a commit
# the file is shorter than (me_last_pgno + 1) pages. The environment is whole and can be opened, read and written.
# Output seen: the lines of `expected` below. The script fails if it sees others.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
apt-get -qq -o APT::Sandbox::User=root download liblmdb0=0.9.24-1 liblmdb-dev=0.9.24-1
for package in *.deb; do dpkg -x "$package" root; done
libraries=root/usr/lib/$(gcc -print-multiarch)

cat >shorter.c <<'END'
#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static char bytes[100 * 4096];

static void must(int code) {
  if (code != 0) printf("%s\n", mdb_strerror(code));
}

int main(void) {
  MDB_env* env;
  MDB_txn* txn;
  MDB_dbi dbi;
  MDB_val key = {1, "k"}, large = {1, "l"}, value = {1, "v"}, much = {sizeof bytes, bytes};
  must(mdb_env_create(&env));
  must(mdb_env_open(env, "env", 0, 0600));
  for (int last = 5, i = 0; i <= last; ++i) {
    must(mdb_txn_begin(env, NULL, 0, &txn));
    must(mdb_dbi_open(txn, NULL, 0, &dbi));
    must(mdb_put(txn, dbi, &key, &value, 0));
    if (i == last) {
      must(mdb_put(txn, dbi, &large, &much, 0));
      must(mdb_del(txn, dbi, &large, NULL));
    }
    must(mdb_txn_commit(txn));
  }
  MDB_envinfo info;
  MDB_stat stat_of;
  struct stat file;
  must(mdb_env_info(env, &info));
  must(mdb_env_stat(env, &stat_of));
  stat("env/data.mdb", &file);
  printf("%s\n", mdb_version(NULL, NULL, NULL));
  printf("the file has the last page: %s\n",
         (size_t)file.st_size >= (info.me_last_pgno + 1) * stat_of.ms_psize ? "yes" : "no");
  printf("at least 100 pages are missing: %s\n",
         (info.me_last_pgno + 1) - (size_t)file.st_size / stat_of.ms_psize >= 100 ? "yes" : "no");
  mdb_env_close(env);
  must(mdb_env_create(&env));
  must(mdb_env_open(env, "env", 0, 0600));
  must(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn));
  must(mdb_dbi_open(txn, NULL, 0, &dbi));
  must(mdb_get(txn, dbi, &key, &value));
  printf("opened again it has: %.*s\n", (int)value.mv_size, (char*)value.mv_data);
  mdb_txn_abort(txn);
  mdb_env_close(env);
}
END
mkdir env
gcc -I root/usr/include shorter.c -o shorter -L "$libraries" -llmdb
LD_LIBRARY_PATH=$libraries ./shorter | tee seen

cat >expected <<'END'
LMDB 0.9.24: (July 24, 2019)
the file has the last page: no
at least 100 pages are missing: yes
opened again it has: v
END
diff expected seen
