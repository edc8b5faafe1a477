# Lays our messages and fields over caffe.proto, in the build tree.
caffe_substitute(src/caffe/proto/caffe.proto
  "optional bool encoded = 7 [default = false];"
  "optional bool encoded = 7 [default = false];
  // Labels of a multi-label record, each -1 (absent), 0 (unknown) or 1 (present).
  repeated sint32 labels = 1000 [packed = true];")
caffe_substitute(src/caffe/proto/caffe.proto
  "optional WindowDataParameter window_data_param = 129;"
  "optional WindowDataParameter window_data_param = 129;
  optional RegionParameter region_param = 1000;
  optional MultiLabelDataParameter multi_label_data_param = 1001;
  optional MultiLabelLossParameter multi_label_loss_param = 1002;
  optional MultiLabelCountsParameter multi_label_counts_param = 1003;
  optional BoxParameter box_param = 1004;
  optional SpliceParameter splice_param = 1005;
  optional BatchParameter batch_param = 1006;")
caffe_substitute(src/caffe/proto/caffe.proto
  "optional string root_folder = 12 [default = \"\"];"
  "optional string root_folder = 12 [default = \"\"];
  // Labels of each image of the authors' MultilabelImageData.
  optional uint32 multilabel_num = 1000;")
caffe_substitute(src/caffe/proto/caffe.proto
  "optional int32 current_step = 4 [default = 0]; // The current step for learning rate"
  "optional int32 current_step = 4 [default = 0]; // The current step for learning rate
  // What stock Caffe begins anew: data and random numbers.
  optional ResumeState resume = 1000;")
caffe_substitute(src/caffe/proto/caffe.proto
  "message SolverParameter {"
  "message SolverParameter {
  // Whether training ends, after a snapshot for a look at it, when the loss is NaN or infinite.
  optional bool stop_at_nonfinite_loss = 1000 [default = true];
")
caffe_substitute(src/caffe/proto/caffe.proto
  "  optional string name = 1; // consider giving the network a name"
  "  optional string name = 1; // consider giving the network a name
  // What must be known of the net to use it.
  optional Recipe recipe = 1000;")
file(READ "${CMAKE_CURRENT_LIST_DIR}/messages.proto" _messages)
caffe_append(src/caffe/proto/caffe.proto "${_messages}")
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS "${CMAKE_CURRENT_LIST_DIR}/messages.proto")
