#include "trade_quotes.h"

int main(int argc, char** argv) { return app.main(argc, argv); }
