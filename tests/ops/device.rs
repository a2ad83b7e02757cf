//! Which adapter is taken, and what happens when it goes away.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tiefsee::Error;
use tiefsee::gpu::{
    AdapterReport, DeviceOptions, Gpu, Pass, Recording, Tensor, Tiers, WeightWriter,
};
use tiefsee::{formats, ops};

use crate::common::{noise, open, options};

fn open_named(device: &str) -> tiefsee::Result<()> {
    let options = DeviceOptions {
        device: Some(device.to_owned()),
        ..options()
    };
    pollster::block_on(Gpu::open(&options)).map(|_| ())
}

#[test]
fn an_adapter_that_is_not_there() {
    let seen = pollster::block_on(Gpu::adapters());
    for wanted in ["no such adapter", "999", ""] {
        let Err(error) = open_named(wanted) else {
            // Every name contains the empty one.
            assert_eq!(wanted, "");
            continue;
        };
        let Error::NoAdapter(message) = &error else {
            panic!("{error:?}")
        };
        assert!(message.contains(wanted), "{message}");
        for adapter in &seen {
            assert!(message.contains(&adapter.info.name), "{message}");
        }
        assert_eq!(error.exit_code(), 5);
    }
}

#[test]
fn adapters_by_number_and_by_name() {
    let adapters = pollster::block_on(Gpu::adapters());
    assert!(!adapters.is_empty());
    for (number, adapter) in adapters.iter().enumerate() {
        assert_eq!(adapter.number, number);
        if adapter.refused.is_some() {
            continue;
        }
        let by_number = DeviceOptions {
            device: Some(number.to_string()),
            ..options()
        };
        let gpu = pollster::block_on(Gpu::open(&by_number)).expect("a listed adapter");
        assert_eq!(gpu.adapter().info.name, adapter.info.name);
        open_named(&adapter.info.name.to_uppercase()).expect("a name in capitals");
    }
}

#[test]
fn cpu_is_a_software_adapter() {
    let adapters = pollster::block_on(Gpu::adapters());
    let options = DeviceOptions {
        device: Some("cpu".into()),
        ..options()
    };
    let opened = pollster::block_on(Gpu::open(&options));
    if !adapters.iter().any(AdapterReport::is_software) {
        assert!(matches!(opened.err(), Some(Error::NoAdapter(_))));
        return;
    }
    let gpu = opened.expect("the software adapter");
    assert!(gpu.adapter().is_software() && gpu.tiers.software);
    assert_eq!(gpu.adapter().kind(), "software");
}

#[test]
fn tiers_can_be_left_unused() {
    let all = options();
    let without = DeviceOptions {
        no_subgroups: true,
        no_f16: true,
        no_matrix: true,
        ..all.clone()
    };
    let gpu = pollster::block_on(Gpu::open(&without)).expect("the baseline");
    let tiers = gpu.tiers;
    assert_eq!(
        (tiers.subgroup_size, tiers.f16, tiers.matrix),
        (0, false, None)
    );
    let gpu = open();
    if !all.no_subgroups {
        let software = gpu.tiers.software;
        let offered = gpu.adapter().tiers;
        assert_eq!(
            gpu.tiers,
            Tiers {
                software,
                ..offered
            }
        );
    }
}

/// Runs `test` and fails if it hangs.
fn in_time(test: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let running = thread::spawn(move || {
        test();
        _ = sender.send(());
    });
    match receiver.recv_timeout(Duration::from_secs(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it hangs"),
        _ => running.join().expect("the test to pass"),
    }
}

/// Some launches on a weight, in several submits.
fn work(gpu: &Gpu) -> Recording {
    let mut pass = Pass::new(gpu);
    let weight = crate::common::upload(gpu, &formats::Q8_0, [1, 64, 64], &noise(64 * 64, 110));
    let mut x = Tensor::upload(gpu, &[4, 64], &noise(4 * 64, 111));
    for _ in 0..20 {
        x = ops::matmul(&mut pass, &x, &weight);
    }
    pass.finish(vec![x])
}

#[track_caller]
fn assert_lost<T>(result: tiefsee::Result<T>) {
    match result.err() {
        Some(Error::DeviceLost(_)) => (),
        other => panic!("{other:?} instead of a lost device"),
    }
}

#[test]
fn a_device_lost_before_a_run() {
    in_time(|| {
        let gpu = open();
        let recording = work(&gpu);
        gpu.destroy();
        for _ in 0..2 {
            assert_lost(pollster::block_on(recording.submit(&gpu).read(&gpu)));
        }
    });
}

#[test]
fn a_device_lost_during_a_run() {
    in_time(|| {
        let gpu = open();
        let recording = work(&gpu);
        let pending = recording.submit(&gpu);
        gpu.destroy();
        assert_lost(pollster::block_on(pending.read(&gpu)));
        assert_lost(pollster::block_on(recording.submit(&gpu).read(&gpu)));
    });
}

#[test]
fn a_device_lost_between_runs() {
    in_time(|| {
        let gpu = open();
        let recording = work(&gpu);
        pollster::block_on(recording.submit(&gpu).read(&gpu)).expect("a run");
        gpu.destroy();
        assert_lost(pollster::block_on(recording.submit(&gpu).read(&gpu)));
    });
}

#[test]
fn a_device_lost_while_recording_and_loading() {
    in_time(|| {
        let gpu = open();
        gpu.destroy();
        assert_lost(pollster::block_on(gpu.flush()));
        let dims = [1, 64, 64];
        let writer = pollster::block_on(WeightWriter::new(&gpu, &formats::F32, dims));
        assert_lost(writer.map(|_| ()));
        let mut pass = Pass::new(&gpu);
        let x = Tensor::upload(&gpu, &[2, 8], &[1f32; 16]);
        let y = ops::pad(&mut pass, &x, 16);
        assert_lost(pollster::block_on(
            pass.finish(vec![y]).submit(&gpu).read(&gpu),
        ));
    });
}

#[test]
fn a_lost_device_can_be_opened_again() {
    in_time(|| {
        open().destroy();
        let gpu = open();
        pollster::block_on(work(&gpu).submit(&gpu).read(&gpu)).expect("a run");
    });
}
