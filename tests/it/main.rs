//! What must hold whatever else changes: the laws, the verbs against slow models, real records,
//! who may name whom, and what the commands print.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod admin;
mod alike;
mod baselines;
mod bounds;
mod canary;
mod correlate;
mod daemon;
mod deadlines;
mod demo;
mod detections;
mod doctor;
mod examples;
mod export;
mod flood;
mod halves;
mod huawei;
mod laws;
mod layers;
mod life;
mod lists;
mod mail_server;
mod memory;
mod mmdb;
mod models;
mod operator;
mod past;
mod postfix;
mod quiet;
mod real;
mod receivers;
mod receivers_hostile;
mod receivers_http;
mod receivers_mail;
mod receivers_real;
mod receivers_robots;
mod receivers_services;
mod receivers_shown;
mod receivers_tls;
mod reference;
mod risk;
mod scenarios;
mod sdk;
mod semantics;
mod sigma;
mod simulate;
mod slow;
mod tables;
mod tale;
mod told;
mod transcripts;
mod traps;
mod vendor;
mod world;
