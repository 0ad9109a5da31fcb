-- All task hubs of an installation. Times are microseconds since 1970-01-01 UTC unless they are a
-- server's own (timestamptz); bodies are JSON text. Texts that are keys compare by their bytes.

-- lease_ms: how long a host lives without a sign of life.
create table hubs (
    number integer primary key generated always as identity,
    name text collate "C" not null unique,
    partition_count integer not null check (partition_count > 0),
    lease_ms integer not null check (lease_ms > 0)
);

-- number: never used again in any hub; it begins the numbers of the instances that the host creates.
create table hosts (
    number integer primary key generated always as identity,
    hub integer not null,
    host_id text collate "C" not null unique,
    boot_id text not null,
    started_at bigint not null,
    functions text not null,
    renewed_at timestamptz not null default clock_timestamp()
) with (fillfactor = 50);

-- holder: a host_id, or null when the partition is free.
create table partitions (
    hub integer not null,
    partition integer not null,
    holder text collate "C",
    epoch bigint not null,
    commit_number bigint not null,
    primary key (hub, partition)
) with (fillfactor = 50);

-- number: of this record, in what belongs to it as well. Never used again, so a replaced instance is
-- not taken for its successor; and ascending, so new rows lie side by side.
-- turns: committed turns of the record; the fence of the next one.
create table instances (
    number bigint primary key,
    hub integer not null,
    instance_id text collate "C" not null,
    execution_id text collate "C" not null,
    turns bigint not null,
    history_length integer not null,
    is_entity boolean not null,
    created_at bigint not null,
    status text collate "C" not null,
    progress text not null,
    unique (hub, instance_id)
) with (fillfactor = 80);

create index instances_by_creation on instances (hub, is_entity, created_at, instance_id);

-- What an execution was started with. Apart from the record, so that a turn that changes the
-- record does not write a large input again.
create table origins (
    number bigint primary key,
    body text not null
);

-- Events as a turn appended them: a JSON array for those from first_event on.
create table history (
    number bigint not null,
    first_event integer not null,
    body text not null,
    primary key (number, first_event)
);

-- seq: taken before the commit, so it orders only messages of which one was stored before the other
-- was sent. delivered_epoch: the lease epoch under which the owner has it in memory, 0 for none.
create table messages (
    seq bigint primary key generated always as identity,
    hub integer not null,
    id text collate "C" not null,
    partition integer not null,
    instance_id text collate "C" not null,
    execution_id text collate "C" not null,
    sender text not null,
    event text not null,
    delivered_epoch bigint not null,
    unique (hub, id)
) with (autovacuum_vacuum_scale_factor = 0.05);

create index messages_by_instance on messages (hub, instance_id);

create index messages_undelivered on messages (hub, partition) where delivered_epoch = 0;

-- Of the current execution: none outlives its own.
create table timers (
    hub integer not null,
    number bigint not null,
    task_id integer not null,
    partition integer not null,
    fire_at bigint not null,
    primary key (number, task_id)
) with (autovacuum_vacuum_scale_factor = 0.05);

create index timers_by_time on timers (hub, partition, fire_at);

-- holder: the host that runs the call or has it in its queue, null when nobody has. offered: the
-- name of the activity in lower case, while any host may claim the call; offer: ascending, so that
-- a new one is noticed. The execution may be a former one: calls go on after continue-as-new.
create table activities (
    hub integer not null,
    number bigint not null,
    execution_id text collate "C" not null,
    task_id integer not null,
    partition integer not null,
    attempt integer not null,
    holder text collate "C",
    offered text collate "C",
    offer bigint,
    body text not null,
    primary key (number, execution_id, task_id)
) with (autovacuum_vacuum_scale_factor = 0.05);

create index activities_offered on activities (hub, offer) where offered is not null;

create sequence offers;

-- version: of the whole table, so that a record that is written anew never repeats one.
create table records (
    hub integer not null,
    key text collate "C" not null,
    version bigint not null generated always as identity,
    value text not null,
    primary key (hub, key)
);

create table record_holds (
    hub integer not null,
    key text collate "C" not null,
    holder text collate "C" not null,
    primary key (hub, key)
);
