# The targets, for the fuzzers and for tests/cpp.
set(DRML_FUZZ_SOURCES
  "${CMAKE_CURRENT_LIST_DIR}/nets.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/records.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/targets.cpp"
  "${CMAKE_CURRENT_LIST_DIR}/weights.cpp")
