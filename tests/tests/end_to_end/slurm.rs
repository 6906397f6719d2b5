//! `sweep --launcher slurm`, on a Slurm of one node that the test starts in a folder of its own, and ends.
use crate::program::{Answer, SMALL, Workplace};
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The programs that a Slurm of one node is made of.
const NEEDED: [&str; 6] = ["munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol"];

/// Where they are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A Slurm of one node; it ends with this.
struct Slurm {
    directory: tempfile::TempDir,
}

impl Slurm {
    /// Starts it; or why that cannot be.
    fn start() -> Result<Slurm, String> {
        let is_there = |program: &&str| PATH.split(':').any(|place| Path::new(place).join(program).exists());
        if let Some(missing) = NEEDED.iter().find(|program| !is_there(program)) {
            return Err(format!(
                "`{missing}` is not installed (Debian: slurmctld slurmd slurm-client munge)"
            ));
        }
        if !rustix::process::geteuid().is_root() {
            return Err("Slurm's programs are started as root here".into());
        }
        let slurm = Slurm { directory: tempfile::tempdir().unwrap() };
        let at = |name: &str| slurm.directory.path().join(name);
        for name in ["run", "state", "spool"] {
            fs::create_dir(at(name)).unwrap();
        }
        // Munge trusts no directory that others may write to or not enter.
        fs::set_permissions(slurm.directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let random = fs::File::open("/dev/urandom").unwrap();
        let mut key = vec![0; 1024];
        std::io::Read::read_exact(&mut &random, &mut key).unwrap();
        fs::write(at("munge.key"), key).unwrap();
        fs::set_permissions(at("munge.key"), fs::Permissions::from_mode(0o600)).unwrap();
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let host = host.trim().split('.').next().unwrap();
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let run = at("run").display().to_string();
        let text = format!(
            "ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\n\
             AuthInfo=socket={run}/munge.socket\nStateSaveLocation={}\nSlurmdSpoolDir={}\nSlurmctldPidFile={run}/slurmctld.pid\n\
             SlurmdPidFile={run}/slurmd.pid\nSlurmctldLogFile={run}/slurmctld.log\nSlurmdLogFile={run}/slurmd.log\n\
             SlurmctldPort={}\nSlurmdPort={}\nProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\n\
             SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nSwitchType=switch/none\n\
             MpiDefault=none\nNodeName={host} NodeAddr=127.0.0.1 CPUs=1 State=UNKNOWN\n\
             PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP\n",
            at("state").display(),
            at("spool").display(),
            free(),
            free()
        );
        fs::write(slurm.conf(), text).unwrap();
        let munge = ["key-file=/munge.key", "socket=/run/munge.socket", "pid-file=/run/munged.pid"];
        let more = ["log-file=/run/munged.log", "seed-file=/run/munge.seed"];
        let options = munge.iter().chain(&more).map(|option| {
            format!("--{}", option.replacen("=/", &format!("={}/", slurm.directory.path().display()), 1))
        });
        let options: Vec<String> = options.chain(["--force".to_owned()]).collect();
        slurm.call("munged", &options)?;
        slurm.call("slurmctld", &[])?;
        slurm.call("slurmd", &[])?;
        let began = Instant::now();
        while !slurm
            .call("sinfo", &["--noheader".into(), "--format=%T".into()])
            .is_ok_and(|said| said.trim() == "idle")
        {
            if began.elapsed() > Duration::from_secs(30) {
                return Err("Slurm was started, and its node does not become idle".into());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(slurm)
    }

    fn conf(&self) -> PathBuf {
        self.directory.path().join("slurm.conf")
    }

    fn call(&self, program: &str, arguments: &[String]) -> Result<String, String> {
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", PATH).env("SLURM_CONF", self.conf());
        let output = command.output().map_err(|e| format!("{program}: {e}"))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
        }
    }

    /// Calls the program with this Slurm.
    fn efference(&self, place: &Workplace, arguments: &[&str]) -> Answer {
        let mut command = place.command(arguments);
        place.start(command.env("PATH", PATH).env("SLURM_CONF", self.conf())).wait()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let _ = self.call("scontrol", &["shutdown".into()]);
        let pid = fs::read_to_string(self.directory.path().join("run/munged.pid")).ok();
        let pid = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        // slurmd takes a moment to take its files away.
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn slurm_runs_the_members_in_the_same_directories() {
    let slurm = match Slurm::start() {
        Ok(slurm) => slurm,
        Err(why) => {
            eprintln!("SKIPPED: sweeps by Slurm: {why}");
            return;
        }
    };
    let place = Workplace::new();
    place.write("small.toml", SMALL.to_owned() + "[sweep]\nseed = [1, 2, 3]\n");
    let arguments =
        ["sweep", "small.toml", "--launcher", "slurm", "--jobs", "1", "--slurm-option", "--time=0:10:00"];
    let answer = slurm.efference(&place, &arguments).expect(0);
    assert!(answer.stdout.contains("Submitted 3 members as the job array"), "{answer}");
    assert!(answer.stdout.contains("3 members: 3 queued"), "{answer}");
    let began = Instant::now();
    loop {
        let answer = slurm.efference(&place, &arguments).expect(0);
        assert!(!answer.stdout.contains("Submitted"), "nothing is submitted twice: {answer}");
        if answer.stdout.contains("3 members: 3 done") {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{answer}");
        std::thread::sleep(Duration::from_millis(300));
    }
    let mut by_slurm = place.runs("small");
    by_slurm.retain(|run| !run.path.ends_with("sweep"));
    assert_eq!(by_slurm.len(), 3);
    assert!(by_slurm.iter().all(|run| run.metrics().len() == 12 && run.end()["how"] == "finished"));
    // This machine would have done the same runs: there is nothing left for it.
    let answer = place.efference(&["sweep", "small.toml"]).expect(0);
    assert!(answer.stdout.contains("3 members are done") && !answer.stdout.contains("started"), "{answer}");
    // What is missing is submitted again.
    fs::remove_dir_all(&by_slurm[1].path).unwrap();
    let id = by_slurm[1].path.file_name().unwrap().to_str().unwrap();
    fs::remove_file(place.path().join(format!("runs/small/sweep/logs/{id}.txt"))).unwrap();
    let answer = slurm.efference(&place, &arguments).expect(0);
    assert!(answer.stdout.contains("Submitted 1 members"), "{answer}");
    let began = Instant::now();
    while !slurm.efference(&place, &arguments).expect(0).stdout.contains("3 members: 3 done") {
        assert!(began.elapsed() < Duration::from_secs(60), "it does not end");
        std::thread::sleep(Duration::from_millis(300));
    }
}
