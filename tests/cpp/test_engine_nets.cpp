#include "engine_fixture.hpp"
