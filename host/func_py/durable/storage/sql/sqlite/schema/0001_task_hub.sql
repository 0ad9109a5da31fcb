-- One task hub per file. Times are microseconds since 1970-01-01 UTC; bodies are JSON text.

create table hub (
    partition_count integer not null check (partition_count > 0)
) strict;

-- number: never used again; it begins the numbers of the instances that the host creates.
create table hosts (
    number integer primary key autoincrement,
    host_id text not null unique,
    boot_id text not null,
    started_at integer not null,
    functions text not null
) strict;

-- holder: a host_id, or null when the partition is free.
create table partitions (
    partition integer primary key,
    holder text,
    epoch integer not null,
    commit_number integer not null
) strict;

-- number: of this record, in what belongs to it as well. Never used again, so a replaced instance is
-- not taken for its successor; and ascending, so new rows lie side by side: by their ids, which are
-- random, each would change a page of its own.
-- turns: committed turns of the record; the fence of the next one.
create table instances (
    number integer primary key,
    instance_id text not null unique,
    execution_id text not null,
    turns integer not null,
    history_length integer not null,
    is_entity integer not null,
    created_at integer not null,
    status text not null,
    progress text not null
) strict;

create index instances_by_creation on instances (is_entity, created_at, instance_id);

-- What an execution was started with. Apart from the record, so that a turn that changes the
-- record does not write a large input again.
create table origins (
    number integer primary key,
    body text not null
) strict;

-- Events as a turn appended them: a JSON array for those from first_event on.
create table history (
    number integer not null,
    first_event integer not null,
    body text not null,
    primary key (number, first_event)
) strict, without rowid;

-- delivered_epoch: the lease epoch under which the owner has the message in memory, 0 for none.
create table messages (
    seq integer primary key autoincrement,
    id text not null unique,
    partition integer not null,
    instance_id text not null,
    execution_id text not null,
    sender text not null,
    event text not null,
    delivered_epoch integer not null
) strict;

create index messages_by_instance on messages (instance_id);

create index messages_undelivered on messages (partition) where delivered_epoch = 0;

-- Of the current execution: none outlives its own.
create table timers (
    number integer not null,
    task_id integer not null,
    partition integer not null,
    fire_at integer not null,
    primary key (number, task_id)
) strict, without rowid;

create index timers_by_time on timers (partition, fire_at);

-- holder: the host that runs the call or has it in its queue, null when nobody has. offered: the
-- name of the activity in lower case, while any host may claim the call. The execution may be a
-- former one: calls go on after continue-as-new.
create table activities (
    number integer not null,
    execution_id text not null,
    task_id integer not null,
    partition integer not null,
    attempt integer not null,
    holder text,
    offered text,
    body text not null,
    primary key (number, execution_id, task_id)
) strict, without rowid;

create index activities_offered on activities (offered) where offered is not null;

-- version: of the whole table, so that a record that is written anew never repeats one.
create table records (
    version integer primary key autoincrement,
    key text not null unique,
    value text not null
) strict;

create table record_holds (
    key text primary key,
    holder text not null
) strict, without rowid;
