//! What a heartbeat method from outside gets, and that the stack tells methods apart by nothing but their names.

mod third;

use std::time::Duration;

use uo2cb_core::heartbeat::{Edge, methods};
use uo2cb_core::tree::{Answer, Object, Op};
use uo2cb_core::{
    Action, Caller, Config, ConsumerId, Engine, Input, Instant, ItemId, Now, Refusal, Reply, RequestId,
    Subscribe, View,
};

use self::third::Third;

struct Stack {
    engine: Engine,
    requests: u64,
    told: Vec<(Edge, u8, Option<String>)>,
}

impl Stack {
    fn new() -> Self {
        let mut methods = methods();
        methods.push(Box::new(Third));
        let engine = Engine::new(&Config::default(), methods, Now::default());
        Self { engine, requests: 0, told: Vec::new() }
    }

    fn ask(&mut self, input: impl FnOnce(RequestId) -> Input<'static>) -> Option<Result<Reply, Refusal>> {
        self.requests += 1;
        let request = RequestId(self.requests);
        let mut answer = None;
        let mut inputs = vec![input(request)];
        let now = Now { mono: Instant::at(Duration::from_secs(self.requests)), ..Now::default() };
        while let Some(input) = inputs.pop() {
            self.engine.handle(now, input);
            while let Some(action) = self.engine.poll_action() {
                match action {
                    Action::Reply { request: to, result } if to == request => answer = Some(result),
                    Action::Listen { request, .. } => {
                        inputs.push(Input::Listening { request, result: Ok(()) });
                    }
                    Action::Deliver { consumer, event } => {
                        let region = event.region.map(|region| region.name.to_string());
                        self.told.push((event.edge, event.node.num.get(), region));
                        inputs.push(Input::Delivered { consumer, event: event.number });
                    }
                    _ => {}
                }
            }
        }
        answer
    }

    fn call(&mut self, op: Op<'static>) -> Result<Answer, Refusal> {
        let caller = Caller::default();
        match self
            .ask(|request| Input::Tree { request, caller, view: View::Config, op })
            .expect("an answer")?
        {
            Reply::Tree(answer) => Ok(answer),
            Reply::Subscribed(up) => panic!("{up:?}"),
        }
    }

    fn find(&self, path: &str) -> Object {
        let items = self.engine.tree(View::Config).items();
        path.split('/').filter(|name| !name.is_empty()).fold(Object::Dir(ItemId::ROOT), |at, name| match at {
            Object::Dir(dir) => items.child(dir, name.as_bytes()).expect(path),
            Object::Link(_) | Object::Attribute(..) => panic!("{path}"),
        })
    }

    fn split(&self, path: &'static str) -> (ItemId, &'static [u8]) {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        match self.find(dir) {
            Object::Dir(dir) => (dir, name.as_bytes()),
            other => panic!("{path}: {other:?}"),
        }
    }

    fn mkdir(&mut self, path: &'static str) {
        let (dir, name) = self.split(path);
        self.call(Op::Mkdir { dir, name }).expect(path);
    }

    fn write(&mut self, path: &str, data: &'static str) -> Result<Answer, Refusal> {
        let Object::Attribute(item, attribute) = self.find(path) else { panic!("{path}") };
        self.call(Op::Store { item, attribute, data: data.as_bytes() })
    }

    fn link(&mut self, path: &'static str) -> Result<Answer, Refusal> {
        let target = Ok(self.find("cluster/c/node/n"));
        let (dir, name) = self.split(path);
        self.call(Op::Symlink { dir, name, target })
    }
}

#[test]
fn a_third_method_is_chosen_by_its_name_and_tells_of_its_regions() {
    let mut stack = Stack::new();
    assert_eq!(stack.engine.status().methods, ["disk", "user", "third"]);
    stack.write("cluster/heartbeat_mode", "third\n").unwrap();
    for dir in ["cluster/c", "cluster/c/node/n", "cluster/c/heartbeat/R"] {
        stack.mkdir(dir);
    }
    for (file, value) in [("ipv4_port", "7777"), ("ipv4_address", "10.0.0.1"), ("num", "4"), ("local", "1")] {
        stack.write(&format!("cluster/c/node/n/{file}"), value).unwrap();
    }
    let subscribe = |request| {
        Input::Subscribe(Subscribe {
            request,
            consumer: ConsumerId(1),
            region: Some(b"R"),
            edge: None,
            priority: 0,
            patience: None,
        })
    };
    assert_eq!(stack.ask(subscribe), Some(Ok(Reply::Subscribed(Vec::new()))));
    assert_eq!(stack.engine.status().regions[0].method, "third");
    stack.link("cluster/c/heartbeat/R/l").unwrap();
    assert_eq!(stack.link("cluster/c/heartbeat/R/again"), Err(Refusal::NodeLinked));
    assert_eq!(stack.engine.status().regions[0].up.len(), 1);
    assert!(stack.engine.status().cluster.is_some_and(|cluster| cluster.up.len() == 1));
    let (dir, name) = stack.split("cluster/c/heartbeat/R/l");
    stack.call(Op::Unlink { dir, name }).unwrap();
    let region = || Some("R".to_owned());
    assert_eq!(stack.told, [(Edge::Up, 4, region()), (Edge::Down, 4, region())]);
    // It is held: the layer pins regions of any method alike.
    let (dir, name) = stack.split("cluster/c/heartbeat/R");
    assert_eq!(stack.call(Op::Rmdir { dir, name }), Err(Refusal::Depended));
}
