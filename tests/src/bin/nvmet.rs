//! Mounts the nvmet tree on a directory until somebody unmounts it.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::channel;

use uo2cb_core::View;
use uo2cb_fusefs::{Options, mount};
use uo2cb_tests::nvmet::Nvmet;
use uo2cb_tests::service::TreeService;

fn main() -> Result<(), String> {
    let dir = std::env::args_os().nth(1).ok_or("usage: nvmet DIRECTORY")?;
    let service = TreeService::new(Nvmet::default(), Nvmet::build).map_err(|refusal| refusal.to_string())?;
    let service = Arc::new(service);
    let (end, ended) = channel::<()>();
    let done = Box::new(move |_| drop(end));
    let options = Options { allow_other: true };
    let mounted = mount(Path::new(&dir), View::Config, service.clone(), &options, done);
    service.tell(Arc::new(mounted.map_err(|error| error.to_string())?));
    println!("mounted");
    // Ends when the sender is dropped.
    let _ = ended.recv();
    service.hush();
    Ok(())
}
