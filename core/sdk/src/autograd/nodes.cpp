// The files that read libtorch's headers of autograd, as one: a compiler is ten seconds in these headers, for each file that
// it is given.
#include "backward.cpp"
#include "recycled.cpp"
#include "shim.cpp"
