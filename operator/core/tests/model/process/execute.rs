//! Writes, as the operator's executor does them.

use kube::core::DynamicObject;
use operator_core::apply::{self, Applicant, Refusal, Step};
use operator_core::child::{ChildKey, Seen};
use operator_core::components::{COMPONENTS, Need};
use operator_core::facts::Failure;
use operator_core::names;
use operator_core::object::Object;
use operator_core::plan::{Action, FINALIZER, Plan, Planned};
use operator_core::problem::Problem;
use operator_core::role::{Duty, Role};
use operator_core::status::Reason;

use super::{Dead, Process};
use crate::world::{NAME, NAMESPACE, World, image};

impl Process {
    pub(super) fn execute(
        &mut self,
        world: &mut World,
        plan: &Plan,
        due: &[&Planned],
        tried: &mut Vec<Action>,
        failures: &mut Vec<Failure>,
    ) -> Result<(), Dead> {
        for phase in due.chunk_by(|one, next| one.phase == next.phase) {
            for planned in phase {
                tried.push(planned.action.clone());
                if let Err(problem) = self.act(world, plan, &planned.action)? {
                    let (phase, action) = (planned.phase, planned.action.id());
                    failures.push(Failure { phase, action, problem });
                }
            }
            let name = phase[0].phase;
            if name.is_required() && failures.iter().any(|failure| failure.phase == name) {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn write(&mut self) -> Result<(), Dead> {
        if let Some(budget) = &mut self.budget {
            *budget = budget.checked_sub(1).ok_or(Dead)?;
        }
        self.writes += 1;
        Ok(())
    }

    fn act(
        &mut self,
        world: &mut World,
        plan: &Plan,
        action: &Action,
    ) -> Result<Result<(), Problem>, Dead> {
        let failed = |message: String| Problem::transient(Reason::ApplyFailed, message);
        match action {
            Action::Apply(object) => return self.apply(world, object, false),
            Action::Confirm(object) => return self.apply(world, object, true),
            Action::Delete(deletion) => {
                self.write()?;
                let key = ChildKey::new(&deletion.resource, &deletion.name);
                let is_it = world.objects.all.get(&key).is_some_and(|live| {
                    live.metadata.uid.as_ref() == Some(&deletion.uid)
                        && deletion.version.as_ref().is_none_or(|version| {
                            live.metadata.resource_version.as_ref() == Some(version)
                        })
                });
                if is_it {
                    world.objects.all.remove(&key);
                    self.children.remove(&key);
                }
            }
            Action::Disown { resource, name } => {
                self.write()?;
                let key = ChildKey::new(resource, name);
                if let Some(object) = world.objects.all.get_mut(&key) {
                    object.metadata.owner_references = None;
                }
                let version = world.objects.next().to_string();
                if let Some(object) = world.objects.all.get_mut(&key) {
                    object.metadata.resource_version = Some(version);
                    let seen = Seen::of(object);
                    self.record(key, seen, None);
                }
            }
            Action::Finalizer(wanted) => {
                self.write()?;
                world.change_shop(|shop| {
                    let finalizers = shop.metadata.finalizers.get_or_insert_default();
                    finalizers.retain(|name| name != FINALIZER);
                    if *wanted {
                        finalizers.push(FINALIZER.to_owned());
                    }
                });
                world.remove_shop_without_finalizers();
            }
            Action::RemoveAnnotations(annotations) => {
                self.write()?;
                world.change_shop(|shop| {
                    let all = shop.metadata.annotations.get_or_insert_default();
                    all.retain(|name, _| !annotations.contains_key(name));
                });
            }
            Action::Sql(sql) => {
                self.write()?;
                self.servers.database = None;
                let host = plan.database.as_ref().map(|address| address.host.clone());
                let server = host.and_then(|host| world.postgres(&host));
                let Some(server) = server else { return Ok(Err(failed("no Postgres".to_owned()))) };
                return Ok(server.execute(sql).map_err(failed));
            }
            Action::Topics(change) => {
                self.write()?;
                self.servers.events = None;
                let server =
                    plan.brokers.as_ref().map(|address| address.bootstrap_servers[0].clone());
                let server = server.and_then(|server| world.kafka(&server));
                let Some(server) = server else { return Ok(Err(failed("no Kafka".to_owned()))) };
                server.execute(change);
            }
        }
        Ok(Ok(()))
    }

    fn apply(
        &mut self,
        world: &mut World,
        object: &Object,
        only_confirm: bool,
    ) -> Result<Result<(), Problem>, Dead> {
        let key = ChildKey::of(object);
        let live = world.objects.all.get(&key).cloned();
        let Some(shop) = &world.shop else { return Ok(Ok(())) };
        let uid = shop.metadata.uid.clone().unwrap_or_default();
        let applicant = Applicant { name: NAME, uid: &uid };
        let step = match apply::decide(object, live.as_ref(), applicant) {
            Ok(step) => step,
            Err(problem) => return Ok(Err(problem)),
        };
        let mut confirmed = Some(object.fingerprint());
        match step {
            Step::Unchanged => {}
            Step::Write(_) if only_confirm => confirmed = None,
            Step::Write(_) => {
                self.write()?;
                if let Err((code, message)) = world.objects.apply(object, names::OPERATOR) {
                    match apply::refused(object, live.as_ref(), code, &message) {
                        Refusal::Report(problem) => return Ok(Err(problem)),
                        Refusal::Recreate { .. } => {
                            world.objects.all.remove(&key);
                            self.write()?;
                            world.objects.apply(object, names::OPERATOR).unwrap();
                        }
                    }
                }
            }
        }
        let deployment = world.objects.all.get(&key).filter(|_| object.kind() == "Deployment");
        if let Some(now) = deployment.filter(|now| live.as_ref().map(image) != Some(image(now))) {
            assert_has_schema(world, now);
        }
        if let Some(live) = world.objects.all.get(&key) {
            let seen = Seen::of(live);
            self.record(key, seen, confirmed);
        }
        Ok(Ok(()))
    }
}

/// A service runs no image whose migrations its database does not have.
fn assert_has_schema(world: &World, deployment: &DynamicObject) {
    let role = deployment.metadata.labels.as_ref().and_then(Role::of);
    let Some(Role::Service(service, Duty::Stable | Duty::Canary)) = role else { return };
    let mut components = COMPONENTS.iter().filter(|component| component.needs(Need::Database));
    if components.any(|component| component.name == service) {
        let database = names::database(NAMESPACE, NAME, service);
        let servers = world.postgres.values();
        let mut found = servers.filter_map(|server| server.databases.get(&database));
        let image = image(deployment);
        assert!(found.any(|found| found.migrated.contains(&image)), "{service}: {image}");
    }
}
