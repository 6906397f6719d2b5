//! What TensorBoard's page of hyperparameters knows of a run: its settings, and which metrics to show beside them.
use super::EventFile;
use super::value::plugin_value;
use crate::FileError;
use protobuf::Message;
use protobuf::well_known_types::Value;
use std::collections::HashMap;
use tensorboard_proto::api::{DataType, Experiment, HParamInfo, MetricInfo, MetricName, Status};
use tensorboard_proto::plugin_hparams::{HParamsPluginData, SessionEndInfo, SessionStartInfo};

impl EventFile {
    /// Adds the settings of a run: name and value, which is a number wherever it reads as one. `group` is what runs that
    /// differ in their seed alone have in common; `metrics` are scalars of this file.
    ///
    /// # Errors
    /// If they can't be written.
    pub fn hparams(
        &mut self,
        group: &str,
        settings: &[(String, String)],
        metrics: &[&str],
    ) -> Result<(), FileError> {
        let mut experiment = Experiment::new();
        experiment.set_hparam_infos(settings.iter().map(|(name, value)| info(name, value)).collect());
        let metric_info = |metric: &&str| {
            let mut name = MetricName::new();
            name.set_tag((*metric).to_owned());
            let mut info = MetricInfo::new();
            info.set_name(name);
            info
        };
        experiment.set_metric_infos(metrics.iter().map(metric_info).collect());
        let mut start = SessionStartInfo::new();
        let values: HashMap<String, Value> =
            settings.iter().map(|(name, text)| (name.clone(), value(text))).collect();
        start.set_hparams(values);
        start.set_group_name(group.to_owned());
        let mut end = SessionEndInfo::new();
        end.set_status(Status::STATUS_SUCCESS);

        let mut three = [HParamsPluginData::new(), HParamsPluginData::new(), HParamsPluginData::new()];
        three[0].set_experiment(experiment);
        three[1].set_session_start_info(start);
        three[2].set_session_end_info(end);
        let names = ["experiment", "session_start_info", "session_end_info"];
        let values = names.iter().zip(three).map(|(name, data)| {
            let content = data.write_to_bytes()?;
            Ok(plugin_value(&format!("_hparams_/{name}"), "hparams", content))
        });
        let values = values.collect::<Result<_, protobuf::ProtobufError>>();
        // Without it there is no table of settings; the curves are what they are.
        values.into_iter().for_each(|values| self.summary(0, 0.0, values));
        self.flush()
    }
}

fn info(name: &str, text: &str) -> HParamInfo {
    let mut info = HParamInfo::new();
    info.set_name(name.to_owned());
    let number = text.parse::<f64>().is_ok();
    info.set_field_type(if number { DataType::DATA_TYPE_FLOAT64 } else { DataType::DATA_TYPE_STRING });
    info
}

fn value(text: &str) -> Value {
    let mut value = Value::new();
    match text.parse() {
        Ok(number) => value.set_number_value(number),
        Err(_) => value.set_string_value(text.to_owned()),
    }
    value
}
