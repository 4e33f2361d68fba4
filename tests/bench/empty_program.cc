// What any program in C++ costs to start: the side that `ckpt` is measured against.
#include <string>

int main(int argc, char** argv) { return argc > 0 && std::string(argv[0]).empty() ? 1 : 0; }
