#include "horton/app.h"

// For `mephisto -A libhorton.so`.
extern "C" int mephisto_main(int argc, char** argv) { return horton::app().main(argc, argv); }

int main(int argc, char** argv) { return horton::app().main(argc, argv); }
