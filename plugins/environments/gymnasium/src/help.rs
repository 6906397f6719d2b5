//! Sentences for what the child refuses, with what helps.
use crate::options::Options;
use efference_sdk::serde::Deserialize;
use efference_sdk::{Error, Result, serde_json};

/// What the child says of why it can't go on.
#[derive(Debug, Deserialize)]
#[serde(crate = "efference_sdk::serde", tag = "error", rename_all = "snake_case")]
pub(crate) enum Refusal {
    /// A Python module is missing.
    Missing { module: Option<String> },
    /// Gymnasium says that an environment needs something that is not installed.
    Dependency { text: String },
    /// No such id is registered.
    Unknown { text: String, nearest: Vec<String> },
    /// A module has no such wrapper.
    Wrapper { module: String, name: String },
    /// It does not render pictures.
    Render { modes: Vec<String> },
    /// What it rendered is no picture.
    Rendered { shape: Vec<usize> },
    /// A space of a kind that has no fixed number of elements.
    Space {
        path: String,
        space: String,
        #[serde(default)]
        action: bool,
    },
    /// Numbers of a kind that is not known here.
    Dtype {
        path: String,
        dtype: String,
        #[serde(default)]
        action: bool,
    },
    /// `without` names what is not there.
    Without { paths: Vec<String>, known: Vec<String> },
    /// An observation is not of the shape that its space says.
    Shape { path: String, stream: usize, wanted: Vec<usize>, came: Vec<usize> },
    /// Something that must be a number is none.
    Number { path: String, stream: usize, what: String, value: String },
    /// A Python exception.
    Failed { text: String },
}

/// What pip installs for a Python module.
fn packages(module: &str) -> String {
    match module {
        "gymnasium" | "numpy" | "popgym" | "minigrid" | "minatar" => module.to_owned(),
        "ale_py" => "ale-py".to_owned(),
        "mujoco" | "glfw" | "OpenGL" | "imageio" => "\"gymnasium[mujoco]\"".to_owned(),
        "Box2D" => "swig \"gymnasium[box2d]\"".to_owned(),
        "pygame" => "\"gymnasium[classic-control]\"".to_owned(),
        "cv2" => "opencv-python".to_owned(),
        other => other.replace('_', "-"),
    }
}

/// What pip installs for what Gymnasium says.
fn dependency(text: &str) -> Option<String> {
    let text = text.to_lowercase();
    let modules = [
        ("box2d", "Box2D"),
        ("mujoco", "mujoco"),
        ("pygame", "pygame"),
        ("opencv", "cv2"),
        ("ale", "ale_py"),
    ];
    modules.into_iter().find(|(sign, _)| text.contains(sign)).map(|(_, module)| packages(module))
}

/// `observation`, `entry 'image' of the observation`.
fn place(path: &str, action: bool) -> String {
    let space = if action { "action" } else { "observation" };
    if path.is_empty() { space.to_owned() } else { format!("entry '{path}' of the {space}") }
}

impl Refusal {
    /// Reads one. Errors: it is none.
    pub(crate) fn read(line: &[u8]) -> Result<Refusal> {
        Ok(serde_json::from_slice(line)?)
    }

    /// The sentence, with the option that it is about.
    pub(crate) fn into_error(self, options: &Options) -> Error {
        let Options { id, python, .. } = options;
        let (option, message) = match self {
            Refusal::Missing { module } => {
                let module = module.unwrap_or_default();
                let top = module.split('.').next().unwrap_or_default();
                let message = format!(
                    "the Python '{python}' has no module '{module}', which {id} needs. Install it:\n  {python} -m pip install {}",
                    packages(top)
                );
                ("python", message)
            }
            Refusal::Dependency { text } => {
                let install = match dependency(&text) {
                    Some(packages) => format!(" Install it:\n  {python} -m pip install {packages}"),
                    None => String::new(),
                };
                ("python", format!("the Python '{python}' lacks what {id} needs: {text}.{install}"))
            }
            Refusal::Unknown { text, nearest } => {
                let help = match &nearest[..] {
                    [] => "Give the module that registers it: import = [\"my_package\"]".to_owned(),
                    [one] => format!("The nearest that is: \"{one}\""),
                    some => format!("The nearest that are: \"{}\"", some.join("\", \"")),
                };
                let end = if text.ends_with(['.', '?', '!']) { "" } else { "." };
                ("id", format!("no environment '{id}' is registered: {text}{end} {help}"))
            }
            Refusal::Wrapper { module, name } => {
                ("wrappers", format!("the Python module '{module}' has no wrapper '{name}'"))
            }
            Refusal::Render { modes } => {
                let message = format!(
                    "{id} does not render pictures: its render modes are {modes:?}, and \"rgb_array\" is needed. Leave `render` out"
                );
                ("render", message)
            }
            Refusal::Rendered { shape } => (
                "render",
                format!("{id} rendered an array of the shape {shape:?}; a picture is height × width × 3"),
            ),
            Refusal::Space { path, space, action } => {
                let place = place(&path, action);
                let help = match (action, path.is_empty()) {
                    (false, false) => format!(". Leave it out: without = [{path:?}]"),
                    _ => {
                        ". A wrapper can turn it into one that has: wrappers = [\"module:Class\"]".to_owned()
                    }
                };
                let message = format!(
                    "the {place} of {id} is of the space {space}, which has no fixed number of elements. Box, Discrete, \
                     MultiDiscrete, MultiBinary, Tuple and Dict have{help}"
                );
                ("id", message)
            }
            Refusal::Dtype { path, dtype, action } => {
                let place = place(&path, action);
                (
                    "id",
                    format!(
                        "the {place} of {id} is a Box of {dtype}; integers and floats of up to 64 bits are taken"
                    ),
                )
            }
            Refusal::Without { paths, known } => {
                let known = known.join("', '");
                let message = format!(
                    "the observation of {id} has no entry '{}' to leave out; it has '{known}'",
                    paths.join("', '")
                );
                ("without", message)
            }
            Refusal::Shape { path, stream, wanted, came } => {
                let place = place(&path, false);
                let message = format!(
                    "{id} sent an observation in stream {stream} that is not of its space: the {place} is of the shape {came:?}, \
                     and should be of {wanted:?}"
                );
                return Error::msg(message);
            }
            Refusal::Number { path, stream, what, value } => {
                let place = if path.is_empty() { String::new() } else { format!(" (entry '{path}')") };
                return Error::msg(format!(
                    "{id} sent {what} in stream {stream}{place} that is no number: {value}"
                ));
            }
            Refusal::Failed { text } => return Error::msg(format!("{id} has failed in Python: {text}")),
        };
        Error::msg(message).in_option(option)
    }

    /// Whether what Python printed says more of it.
    pub(crate) fn is_of_python(&self) -> bool {
        matches!(self, Refusal::Failed { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> (String, Option<String>) {
        let options =
            Options { id: "Some-v0".into(), python: "venv/bin/python".into(), ..Options::default() };
        let error = Refusal::read(json.as_bytes()).unwrap().into_error(&options);
        (error.to_string(), error.option().map(str::to_owned))
    }

    #[test]
    fn a_missing_package_is_named_with_the_command_that_installs_it() {
        for (module, packages) in [
            ("gymnasium", "gymnasium"),
            ("ale_py", "ale-py"),
            ("minatar.gym", "minatar"),
            ("mujoco", "\"gymnasium[mujoco]\""),
            ("Box2D", "swig \"gymnasium[box2d]\""),
            ("my_envs", "my-envs"),
        ] {
            let (said, option) = said(&format!("{{\"error\": \"missing\", \"module\": {module:?}}}"));
            let command = format!("\n  venv/bin/python -m pip install {packages}");
            assert!(said.contains(&format!("no module '{module}'")) && said.ends_with(&command), "{said}");
            assert_eq!(option.as_deref(), Some("python"));
        }
        let (said, _) = said(r#"{"error": "dependency", "text": "Box2D is not installed"}"#);
        assert!(said.ends_with("-m pip install swig \"gymnasium[box2d]\""), "{said}");
    }

    #[test]
    fn what_is_wrong_is_said_with_what_helps() {
        for (json, text, option) in [
            (
                r#"{"error": "unknown", "text": "It doesn't exist.", "nearest": ["A-v0", "B-v0"]}"#,
                "no environment 'Some-v0' is registered: It doesn't exist. The nearest that are: \"A-v0\", \"B-v0\"",
                Some("id"),
            ),
            (
                r#"{"error": "unknown", "text": "It is not there", "nearest": []}"#,
                "not there. Give the module that registers it: import = [\"my_package\"]",
                Some("id"),
            ),
            (
                r#"{"error": "space", "path": "mission", "space": "Text"}"#,
                "without = [\"mission\"]",
                Some("id"),
            ),
            (
                r#"{"error": "space", "path": "", "space": "Graph"}"#,
                "observation of Some-v0 is of the space Graph",
                Some("id"),
            ),
            (
                r#"{"error": "space", "path": "a", "space": "Sequence", "action": true}"#,
                "the entry 'a' of the action of Some-v0 is of the space Sequence",
                Some("id"),
            ),
            (r#"{"error": "render", "modes": ["human"]}"#, "[\"human\"]", Some("render")),
            (
                r#"{"error": "without", "paths": ["x"], "known": ["image", "mission"]}"#,
                "no entry 'x' to leave out; it has 'image', 'mission'",
                Some("without"),
            ),
            (
                r#"{"error": "shape", "path": "", "stream": 3, "wanted": [4], "came": [5]}"#,
                "in stream 3 that is not of its space: the observation is of the shape [5], and should be of [4]",
                None,
            ),
            (
                r#"{"error": "number", "path": "", "stream": 0, "what": "a reward", "value": "None"}"#,
                "Some-v0 sent a reward in stream 0 that is no number: None",
                None,
            ),
        ] {
            let (said, named) = said(json);
            assert!(said.contains(text), "{said}");
            assert_eq!(named.as_deref(), option);
        }
        assert!(Refusal::read(b"{\"error\": \"nonsense\"}").is_err());
    }
}
