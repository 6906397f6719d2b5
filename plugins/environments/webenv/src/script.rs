//! The JavaScript that starts WebEnv.
use crate::options::{Listen, Options};
use crate::process::MARK;
use efference_sdk::serde_json::{Value, json};
use efference_sdk::{Result, bail, ensure};
use std::path::Path;

/// What runs before WebEnv. Only its packets may be on stdout, so whatever else prints, prints on stderr. And when
/// the agent's process is gone, SIGINT has come; a worker sees to it that this process and what it has started are
/// gone soon after, even if the main thread hangs. `{MARK}` stands for the variable that marks these processes.
const BEFORE: &str = r"
const stdout = process.stdout;
const setStdout = (value) => Object.defineProperty(process, 'stdout', { value, configurable: true });
setStdout(process.stderr);
new (require('worker_threads').Worker)(`
    const agent = process.ppid, fs = require('fs');
    const mark = '{MARK}=' + process.env.{MARK};
    const marked = (id) => fs.readFileSync('/proc/' + id + '/environ', 'latin1').split('\\0').includes(mark);
    const attempt = (what) => { try { return what(); } catch (e) { return []; } };
    const end = () => {
        for (const id of attempt(() => fs.readdirSync('/proc')).map(Number))
            attempt(() => id > 0 && id !== process.pid && marked(id) && process.kill(id, 'SIGKILL'));
        process.kill(-process.pid, 'SIGKILL');
    };
    const look = setInterval(() => {
        if (process.ppid !== agent) clearInterval(look), setTimeout(end, 1000);
    }, 500);
`, { eval: true }).unref();
";

/// Servers that name no address to listen on, as WebEnv's, listen on loopback only.
const LOOPBACK: &str = r"
{
    const { Server } = require('net'), listen = Server.prototype.listen, host = '127.0.0.1';
    Server.prototype.listen = function (...args) {
        const [first, second] = args;
        if (first && typeof first === 'object') {
            if (first.port !== undefined && !first.host) args[0] = { ...first, host };
        } else if (args.length && first !== null && /^\d+$/.test(first) && typeof second !== 'string') {
            args.splice(1, 0, host);
        }
        return listen.apply(this, args);
    };
}
";

/// What runs once WebEnv is ready. An error that it does not catch, as when a tab disconnects while its step is under way, ends
/// nothing; very many in a short time, and a port that cannot be had, end it.
const SURVIVE: &str = r"
const survive = () => {
    let recent = [];
    const survived = (error) => {
        const now = Date.now();
        recent = [...recent, now].filter((at) => now - at < 60e3);
        if ((error && error.syscall === 'listen') || recent.length > 1000) {
            console.error(error);
            process.exit(1);
        }
        if (recent.length < 10) console.error('survived:', error);
    };
    process.on('uncaughtException', survived);
    process.on('unhandledRejection', survived);
};
";

/// What runs once `we` is there. The numbers of `we.directScore()`, which are the reward, come first. `we.defaults` has
/// one of its own; it is that one which is used, for two would take the rewards away from each other.
const REWARD: &str = r"
setStdout(stdout);
const io = we.io();
setStdout(process.stderr);
const findReward = async () => {
    for (const one of [we.defaults].flat(Infinity)) {
        const found = await one;
        if (found && found.priority === 999999999 && found.reads === 4) return found;
    }
    return we.directScore();
};
";

/// The longest program: Linux takes at most 128 KiB in one argument.
const LONGEST: usize = 120_000;

/// The program for `node -e` that starts `program`, the path of `webenv.js`.
pub(crate) fn script(program: &Path, options: &Options) -> Result<String> {
    let Some(program) = program.to_str() else {
        bail!("the path of the checkout, '{}', is no UTF-8: move the checkout", program.display());
    };
    ensure!(
        !options.interfaces.is_empty(),
        "the option 'interfaces' is empty: name at least one, such as \"we.remote()\""
    );
    let mut interfaces = Vec::with_capacity(options.interfaces.len() + 2);
    let mut settings = json!({});
    if !options.homepage.is_empty() {
        settings["homepage"] = json!(options.homepage);
    }
    settings["simultaneousSteps"] = json!(options.simultaneous_steps);
    interfaces.push(format!("we.settings({settings})"));
    for (i, interface) in options.interfaces.iter().enumerate() {
        let place = format!("interfaces[{i}]");
        ensure!(
            matches!(interface, Value::String(_) | Value::Array(_)),
            "{place} is {interface}: an interface is JavaScript such as \"we.loopback(2)\" or a call such as [\"we.mouse\", {{ wheel = 1 }}]"
        );
        interfaces.push(argument(interface, &place)?);
    }
    let interfaces = interfaces.join(", ");
    // Who names it brings it with settings of their own; WebEnv puts it first all the same.
    let reward = if interfaces.contains("directScore") { "[]" } else { "await findReward()" };
    let program = Value::from(program);
    let loopback = match options.listen {
        Listen::Loopback => LOOPBACK,
        Listen::Everywhere => "",
    };
    let before = BEFORE.replace("{MARK}", MARK);
    let script = format!(
        "{before}{loopback}const we = require({program});\n{REWARD}{SURVIVE}\
         (async () => {{ await we.init(io, {reward}, {interfaces}); survive() }})();\n"
    );
    ensure!(
        script.len() <= LONGEST,
        "the interfaces make a program of {} bytes, and {LONGEST} can be passed to node: put some into a file of the checkout, and name it as \"require('./FILE.js')\"",
        script.len()
    );
    Ok(script)
}

/// An interface, or an argument of a call.
fn argument(value: &Value, place: &str) -> Result<String> {
    Ok(match value {
        Value::String(code) => {
            ensure!(
                !code.trim().is_empty(),
                "{place} is empty: it must be JavaScript such as \"we.loopback(2)\""
            );
            code.clone()
        }
        Value::Array(items) => match items.as_slice() {
            [Value::String(function), arguments @ ..] if !function.trim().is_empty() => {
                let each = |(i, a)| argument(a, &format!("{place}[{}]", i + 1));
                let arguments: Result<Vec<_>> = arguments.iter().enumerate().map(each).collect();
                format!("{function}({})", arguments?.join(", "))
            }
            _ => bail!(
                "{place} is {value}: a call begins with the name of a function, as in [\"we.mouse\", {{ wheel = 1 }}]"
            ),
        },
        other => other.to_string(),
    })
}

/// Whether nothing may come before somebody connects.
pub(crate) fn waits_for_people(options: &Options) -> bool {
    fn names_remote(value: &Value) -> bool {
        match value {
            Value::String(code) => code.contains("we.remote"),
            Value::Array(items) => items.iter().any(names_remote),
            _ => false,
        }
    }
    options.interfaces.iter().any(names_remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interfaces(interfaces: Value) -> Result<String> {
        let options = Options { interfaces: interfaces.as_array().unwrap().clone(), ..Options::default() };
        let script = script(Path::new("/a \"b\"/webenv.js"), &options)?;
        Ok(script.lines().last().unwrap().to_owned())
    }

    #[test]
    fn strings_are_code_lists_are_calls_and_tables_are_data() {
        let list = json!([
            "we.loopback(2)",
            ["we.mouse", { "wheel": 1, "absolute": false }],
            ["we.triggers", {}, "we.triggers.homepage", ["we.f", ["we.g", -0.5], null]],
            ["we.settings", { "homepage": "a'\"</script>\n" }],
        ]);
        assert_eq!(
            interfaces(list).unwrap(),
            "(async () => { await we.init(io, await findReward(), we.settings({\"simultaneousSteps\":16}), \
             we.loopback(2), we.mouse({\"wheel\":1,\"absolute\":false}), \
             we.triggers({}, we.triggers.homepage, we.f(we.g(-0.5), null)), \
             we.settings({\"homepage\":\"a'\\\"</script>\\n\"})); survive() })();"
        );
        let line = interfaces(json!(["we.directScore(false, {scoreFile: 'rewards.json'})"])).unwrap();
        assert!(line.contains("we.init(io, [], we.settings("), "{line}");
    }

    #[test]
    fn settings_and_paths_are_encoded() {
        let options = Options { homepage: "file:///a'\"b".to_owned(), ..Options::default() };
        let script = script(Path::new("/a \"b\"/webenv.js"), &options).unwrap();
        assert!(script.contains(r#"require("/a \"b\"/webenv.js")"#), "{script}");
        let settings = r#"we.settings({"homepage":"file:///a'\"b","simultaneousSteps":16})"#;
        assert!(script.contains(settings), "{script}");
    }

    #[test]
    fn what_is_no_interface_is_named_with_its_place() {
        let error = |list| interfaces(list).unwrap_err().to_string();
        assert!(
            error(json!(["we.const()", 3])).starts_with("interfaces[1] is 3: an interface is JavaScript")
        );
        assert!(
            error(json!([["we.f", ["we.g", [1]]]])).starts_with("interfaces[0][1][1] is [1]: a call begins")
        );
        assert!(error(json!([" "])).starts_with("interfaces[0] is empty"));
        assert!(error(json!([])).contains("'interfaces' is empty"));
        assert!(error(json!(["a".repeat(200_000)])).contains("120000 can be passed to node"));
    }
}
