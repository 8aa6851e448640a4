//! How a process ends.

use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::bail;
use service::run;

/// A signal reaches everything that lives in the test's process: one life at a time.
static ONE_LIFE: Mutex<()> = Mutex::new(());

#[test]
fn a_vital_part_that_ends_takes_the_process_with_it() {
    let _alone = ONE_LIFE.lock().unwrap_or_else(PoisonError::into_inner);
    let failed = run("test", async |life| {
        life.spawn_vital("part", async { bail!("broken") });
        Ok(())
    });
    assert_eq!(failed, ExitCode::FAILURE);
    let returned = run("test", async |life| {
        life.spawn_vital("part", async { Ok(()) });
        Ok(())
    });
    assert_eq!(returned, ExitCode::FAILURE);
    let panicked = run("test", async |life| {
        life.spawn_vital("part", async { panic!("the part panics") });
        Ok(())
    });
    assert_eq!(panicked, ExitCode::FAILURE);
}

#[test]
fn a_process_that_cannot_start_says_so_by_its_exit_code() {
    let _alone = ONE_LIFE.lock().unwrap_or_else(PoisonError::into_inner);
    assert_eq!(run("test", async |_| bail!("no database")), ExitCode::FAILURE);
}

#[test]
fn a_signal_lets_work_in_hand_finish_and_the_process_end_well() {
    let _alone = ONE_LIFE.lock().unwrap_or_else(PoisonError::into_inner);
    let finished = Arc::new(AtomicBool::new(false));
    let witness = Arc::clone(&finished);
    let code = run("test", async move |life| {
        let stopping = life.stopping();
        life.spawn_vital("part", async move {
            stopping.cancelled().await;
            // Work that only ends some steps after the stop.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            witness.store(true, Ordering::SeqCst);
            Ok(())
        });
        let sent = Command::new("kill").args(["-TERM", &std::process::id().to_string()]).status();
        assert!(sent?.success());
        Ok(())
    });
    assert_eq!(code, ExitCode::SUCCESS);
    assert!(finished.load(Ordering::SeqCst));
}
