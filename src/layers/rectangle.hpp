#ifndef DRML_LAYERS_RECTANGLE_HPP_
#define DRML_LAYERS_RECTANGLE_HPP_

#include <cstdint>

#ifdef __CUDACC__
#define DRML_HOST_DEVICE __host__ __device__
#else
#define DRML_HOST_DEVICE
#endif

namespace caffe_ext {

/// A patch in every plane of a map: rows y .. y + height - 1, columns x .. x + width - 1.
struct Rectangle {
  int y, x, height, width;
  int map_height, map_width;

  DRML_HOST_DEVICE int area() const { return height * width; }

  /// Where element i of the patches, plane after plane, stands in the map's planes.
  DRML_HOST_DEVICE int64_t MapOffset(int64_t i) const {
    const int64_t plane = i / area();
    const int in_patch = static_cast<int>(i % area());
    return (plane * map_height + y + in_patch / width) * map_width + x + in_patch % width;
  }
};

/// Calls visit(offset in the map, offset in the patches) for each row of the patch, plane by plane.
template <typename Visit>
inline void ForEachRow(const Rectangle& at, int planes, const Visit& visit) {
  for (int64_t row = 0; row < static_cast<int64_t>(planes) * at.height; ++row) {
    visit(at.MapOffset(row * at.width), row * at.width);
  }
}

/// Patch i of a layer's parameters, which have xcoord and ycoord.
template <typename Parameter, typename Blob>
inline Rectangle RectangleOf(const Parameter& param, int i, const Blob& patch, const Blob& map) {
  const Rectangle at = {static_cast<int>(param.ycoord(i)),
                        static_cast<int>(param.xcoord(i)),
                        patch.shape(2),
                        patch.shape(3),
                        map.shape(2),
                        map.shape(3)};
  return at;
}

}  // namespace caffe_ext

#undef DRML_HOST_DEVICE

#endif  // DRML_LAYERS_RECTANGLE_HPP_
