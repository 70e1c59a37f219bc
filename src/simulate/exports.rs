//! The export centre: tasks that are begun, looked at, downloaded and deleted
//! (`reference/huawei-api.md`, 6).
//!
//! What is not documented is decided here: a task is being made when it is first looked at and done
//! at the next look, whatever the clock; a list of tasks that does not ask for those downloaded
//! leaves them out; a file stays a week. Files hold what was there when the task was begun, and are
//! made when they are fetched.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::record::{Millis, Timestamp};

use super::ask::{Ask, page_of};
use super::fault::Fault;
use super::what::{Spelling, What};
use super::world::{List, World};
use super::{Answer, Request, dress, page, sheet};

/// Tasks that are remembered; the oldest makes room.
const MAX_TASKS: usize = 1_000;
/// How long a file can be had.
const KEPT: Millis = Millis::days(7);
/// Tasks that are deleted at once.
const MAX_DELETED: usize = 200;
/// What a file is to whoever downloads it.
const CONTENT_TYPE: &str = "application/octet-stream";

/// All tasks, oldest first.
#[derive(Debug, Default)]
pub struct Exports {
    tasks: VecDeque<Task>,
    begun: u64,
}

/// One file, or the want of one.
#[derive(Debug)]
struct Task {
    id: String,
    file_name: String,
    ask: Ask,
    begun: Timestamp,
    /// Looks until it is done.
    looks: u32,
    fate: Fate,
    /// When it was done.
    done: Option<Timestamp>,
    downloaded: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Success,
    Fail,
    Expire,
}

impl Task {
    fn status(&self, now: Timestamp) -> &'static str {
        match (self.done, self.fate) {
            (None, _) => "CREATING",
            (Some(_), Fate::Fail) => "FAIL",
            (Some(_), Fate::Expire) => "EXPIRED",
            (Some(done), Fate::Success) if now - done >= KEPT => "EXPIRED",
            (Some(_), Fate::Success) => "SUCCESS",
        }
    }

    fn item(&self, now: Timestamp) -> Value {
        let mut item = json!({
            "task_id": self.id,
            "file_name": self.file_name,
            "status": self.status(now),
            "create_time": dress::spell(Spelling::Millis, self.begun),
            "is_download": self.downloaded,
        });
        if let Some(done) = self.done {
            item["end_time"] = dress::spell(Spelling::Millis, done).into();
        }
        if self.done.is_some() && self.fate == Fate::Fail {
            item["fail_reason"] = "The requested operation failed.".into();
            item["error_code"] = "WKS.00211401".into();
        }
        item
    }
}

impl Exports {
    /// Begins a task; `troubles` say what becomes of it.
    pub fn begin(&mut self, ask: Ask, troubles: &[What], now: Timestamp) -> Answer {
        self.begun += 1;
        // A UUID of version 1 in form, as ids of the service are.
        let id = format!("{:08x}5e0011f0a5e4fa163e{:06x}", self.begun, self.begun);
        let mut task = Task {
            file_name: format!("{}_{}.xlsx", name_of(ask.list), stamp(now)),
            id: id.clone(),
            ask,
            begun: now,
            looks: 1,
            fate: Fate::Success,
            done: None,
            downloaded: false,
        };
        for what in troubles {
            if let What::ExportLingers { looks } = what {
                task.looks = task.looks.saturating_add(*looks);
            }
            if let What::ExportFails {} = what {
                task.fate = Fate::Fail;
            }
            if let What::ExportExpires {} = what {
                task.fate = Fate::Expire;
            }
        }
        if self.tasks.len() >= MAX_TASKS {
            self.tasks.pop_front();
        }
        self.tasks.push_back(task);
        Answer::json(200, &json!({"task_id": id}))
    }

    /// `GET /v2/{project_id}/export-tasks`; each task that is shown comes nearer to its end.
    pub fn list(&mut self, request: &Request<'_>, now: Timestamp) -> Result<Answer, Fault> {
        let query = request.query();
        let get = |name: &str| {
            let found = query.iter().find(|(key, value)| key == name && !value.is_empty());
            found.map(|(_, value)| value.as_str())
        };
        let (offset, limit) = page_of(request, (1, 100, 20))?;
        let downloaded = match get("is_download") {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Fault::parameter("is_download is neither true nor false.")),
        };
        if get("sort_field").is_some_and(|field| field != "create_time") {
            return Err(Fault::parameter("sort_field is not create_time."));
        }
        let newest_first = match get("sort_type") {
            None | Some("ASC") => false,
            Some("DESC") => true,
            Some(_) => return Err(Fault::parameter("sort_type is neither ASC nor DESC.")),
        };
        let meant = |task: &Task| {
            task.downloaded == downloaded
                && get("task_id").is_none_or(|id| id == task.id)
                && get("file_name").is_none_or(|name| task.file_name.contains(name))
                && get("status").is_none_or(|status| status == task.status(now))
        };
        let mut found: Vec<&mut Task> = self.tasks.iter_mut().filter(|task| meant(task)).collect();
        let count = found.len();
        if newest_first {
            found.reverse();
        }
        let shown = found.into_iter().skip(offset).take(limit).map(|task| {
            if task.looks > 0 {
                task.looks -= 1;
            } else {
                task.done.get_or_insert(now);
            }
            task.item(now)
        });
        let shown: Vec<Value> = shown.collect();
        Ok(Answer::json(200, &json!({"export_tasks": shown, "count": count})))
    }

    /// `GET /v2/{project_id}/export-tasks/{task_id}/download`
    pub fn download(&mut self, id: &str, world: &World, now: Timestamp) -> Result<Answer, Fault> {
        let task = self.tasks.iter_mut().find(|task| task.id == id);
        let task = task.ok_or_else(|| Fault::parameter("There is no such export task."))?;
        if task.status(now) != "SUCCESS" {
            let text = format!("The export task is {}.", task.status(now));
            return Err(Fault::parameter(&text));
        }
        task.downloaded = true;
        Ok(file(world, &task.ask, task.begun, &task.file_name))
    }

    /// `POST /v2/{project_id}/export-tasks/batch-delete`
    pub fn delete(&mut self, request: &Request<'_>) -> Result<Answer, Fault> {
        let body: Value =
            serde_json::from_slice(request.body).map_err(|_| Fault::message("It is no JSON object."))?;
        let ids: Option<Vec<&str>> =
            body["task_ids"].as_array().and_then(|ids| ids.iter().map(Value::as_str).collect());
        let ids = ids.filter(|ids| (1..=MAX_DELETED).contains(&ids.len()));
        let ids = ids
            .ok_or_else(|| Fault::parameter(&format!("task_ids is no list of 1 to {MAX_DELETED} texts.")))?;
        self.tasks.retain(|task| !ids.contains(&task.id.as_str()));
        Ok(Answer::text(200, ""))
    }
}

/// The file that `ask` asks for, as of `now`.
pub fn file(world: &World, ask: &Ask, now: Timestamp, name: &str) -> Answer {
    let rows = page::whole(world, ask, now);
    let mut answer = Answer::bytes(200, CONTENT_TYPE, sheet::workbook(&rows));
    answer.headers.push(("content-disposition", format!("attachment; filename={name}")));
    answer
}

/// The name of the file that the older export of the desktops answers at once.
pub fn file_name(list: List, now: Timestamp) -> String {
    format!("{}_{}.xlsx", name_of(list), stamp(now))
}

fn name_of(list: List) -> &'static str {
    match list {
        List::DesktopLogins => "desktop_connection",
        List::AppLogins => "user_connection",
        List::AppLaunches => "app_connection",
        List::Sessions => "session",
        List::UserEvents => "user_event",
    }
}

/// `20260105090000`
fn stamp(now: Timestamp) -> String {
    dress::spell(Spelling::Seconds, now).chars().filter(char::is_ascii_digit).collect()
}
