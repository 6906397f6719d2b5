//! Is A better than B? Statistics over the seeds of runs, verdicts, tables, plots.
