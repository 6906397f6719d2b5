//! What TensorBoard's page of custom scalars shows together: an error with its baselines, rewards with returns.
use super::value::plugin_value;
use protobuf::{Message, RepeatedField};
use tensorboard_proto::layout::{Category, Chart, Layout, MultilineChartContent};
use tensorboard_proto::summary::Summary_Value;
use tensorboard_proto::tensor::TensorProto;
use tensorboard_proto::tensor_shape::TensorShapeProto;
use tensorboard_proto::types::DataType;

/// Charts by title, and which curves they hold: regular expressions, as TensorBoard wants them.
const CHARTS: [(&str, &[&str]); 3] = [
    (
        "error and its baselines",
        &["^error$", "^error_last$", "^error_mean$", "^error_linear$", "^error_period$"],
    ),
    ("reward and return", &["^reward$", "^return$"]),
    ("loss and its terms", &["^loss$", "^loss/.*$"]),
];

/// The layout, as a value of the first summary of an event file.
pub(super) fn layout() -> Result<Summary_Value, protobuf::ProtobufError> {
    let mut category = Category::new();
    category.set_title("efference".to_owned());
    category.set_chart(CHARTS.iter().map(|(title, tags)| chart(title, tags)).collect());
    let mut layout = Layout::new();
    layout.set_category(RepeatedField::from_vec(vec![category]));

    let mut tensor = TensorProto::new();
    tensor.set_dtype(DataType::DT_STRING);
    tensor.set_tensor_shape(TensorShapeProto::new());
    tensor.set_string_val(RepeatedField::from_vec(vec![layout.write_to_bytes()?]));
    let mut value = plugin_value("custom_scalars__config__", "custom_scalars", Vec::new());
    value.set_tensor(tensor);
    Ok(value)
}

fn chart(title: &str, tags: &[&str]) -> Chart {
    let mut lines = MultilineChartContent::new();
    lines.set_tag(tags.iter().map(|tag| (*tag).to_owned()).collect());
    let mut chart = Chart::new();
    chart.set_title(title.to_owned());
    chart.set_multiline(lines);
    chart
}
