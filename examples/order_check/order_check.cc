#include "order_check.h"

int main(int argc, char** argv) { return app.main(argc, argv); }
