# What `pip install .` puts into the wheel beside drml: the package `caffe` with library and programs inside, and the
# models. Everything finds everything else by its own place, so that the wheel may lie anywhere.
set_target_properties(caffe PROPERTIES INSTALL_RPATH "$ORIGIN")
set_property(TARGET caffe PROPERTY VERSION)  # a wheel has no symbolic links, so one name alone
set_property(TARGET caffe PROPERTY SOVERSION)
install(TARGETS caffe LIBRARY DESTINATION caffe/lib)

foreach(_tool IN LISTS CAFFE_TOOLS)
  set(_target "${_tool}")
  if(_tool STREQUAL caffe)
    set(_target caffe.bin)
  endif()
  set_target_properties(${_target} PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
  install(TARGETS ${_target} RUNTIME DESTINATION caffe/bin LIBRARY DESTINATION caffe/bin)
endforeach()

set_target_properties(pycaffe PROPERTIES INSTALL_RPATH "$ORIGIN/lib")
install(TARGETS pycaffe LIBRARY DESTINATION caffe)
install(DIRECTORY "${PYCAFFE_DIR}/caffe/" DESTINATION caffe
  PATTERN "test" EXCLUDE PATTERN "__pycache__" EXCLUDE PATTERN "_caffe*" EXCLUDE PATTERN "stock_caffe.desc" EXCLUDE)

# Who gives away binaries of Caffe gives its licence along with them; that of drml is in the wheel's metadata.
install(FILES "${CAFFE_SOURCE}/LICENSE" DESTINATION caffe)

install(DIRECTORY "${PROJECT_SOURCE_DIR}/models/" DESTINATION drml/models FILES_MATCHING
  PATTERN "*.prototxt" PATTERN "*.md")
