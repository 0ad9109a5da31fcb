-- One task hub per file. Times are microseconds since 1970-01-01 UTC; bodies are JSON text.

create table hub (
    partition_count integer not null check (partition_count > 0)
) strict;

create table hosts (
    host_id text primary key,
    boot_id text not null,
    started_at integer not null,
    functions text not null
) strict, without rowid;

-- holder: a host_id, or null when the partition is free.
create table partitions (
    partition integer primary key,
    holder text,
    epoch integer not null,
    commit_number integer not null
) strict;

-- turns: committed turns of the instance in this execution's record; the fence of the next one.
create table instances (
    instance_id text primary key,
    execution_id text not null,
    turns integer not null,
    history_length integer not null,
    is_entity integer not null,
    created_at integer not null,
    status text not null,
    progress text not null
) strict, without rowid;

create index instances_by_creation on instances (is_entity, created_at, instance_id);

-- What an execution was started with. Apart from the record, so that a turn that changes the
-- record does not write a large input again.
create table origins (
    instance_id text primary key,
    body text not null
) strict, without rowid;

-- Events as a turn appended them: a JSON array for those from first_event on.
create table history (
    instance_id text not null,
    first_event integer not null,
    body text not null,
    primary key (instance_id, first_event)
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

create table timers (
    instance_id text not null,
    execution_id text not null,
    task_id integer not null,
    partition integer not null,
    fire_at integer not null,
    primary key (instance_id, execution_id, task_id)
) strict, without rowid;

create index timers_by_time on timers (partition, fire_at);

-- holder: the host that runs the call or has it in its queue, null when nobody has.
create table activities (
    instance_id text not null,
    execution_id text not null,
    task_id integer not null,
    partition integer not null,
    attempt integer not null,
    holder text,
    body text not null,
    primary key (instance_id, execution_id, task_id)
) strict, without rowid;
