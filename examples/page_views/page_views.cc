#include "page_views.h"

int main(int argc, char** argv) { return app.main(argc, argv); }
