-- All task hubs of a schema. Times are microseconds since 1970-01-01 UTC unless they are the server's
-- own (datetime2); bodies are JSON text. Texts that are keys compare by their bytes, but for blanks at
-- their end, which SQL Server never tells apart: those that come from users may not end with one.

create table {schema}.hubs (
    number int identity(1, 1) not null primary key,
    name nvarchar(400) {binary} not null unique,
    partition_count int not null check (partition_count > 0)
);

-- number: never used again in any hub; it begins the numbers of the instances that the host creates.
-- lease_ms: how long the host lives without a sign of life, by its own word.
create table {schema}.hosts (
    number int identity(1, 1) not null primary key,
    hub int not null,
    host_id nvarchar(200) {binary} not null unique,
    boot_id nvarchar(200) not null,
    started_at bigint not null,
    functions nvarchar(max) not null,
    lease_ms int not null check (lease_ms > 0),
    renewed_at datetime2(3) not null default sysutcdatetime()
);

-- The last transaction of each host: it tells whether one was committed whose answer got lost.
create table {schema}.commits (
    host_id nvarchar(200) {binary} not null primary key,
    number bigint not null
);

-- holder: a host_id, or null when the partition is free.
create table {schema}.partitions (
    hub int not null,
    partition int not null,
    holder nvarchar(200) {binary} null,
    epoch bigint not null,
    commit_number bigint not null,
    primary key (hub, partition)
);

-- number: of this record, in what belongs to it as well. Never used again, so a replaced instance is
-- not taken for its successor; and ascending, so new rows lie side by side.
-- turns: committed turns of the record; the fence of the next one.
create table {schema}.instances (
    number bigint not null primary key,
    hub int not null,
    instance_id nvarchar(450) {binary} not null check (instance_id not like N'% '),
    execution_id nvarchar(430) {binary} not null,
    turns bigint not null,
    history_length int not null,
    is_entity bit not null,
    created_at bigint not null,
    status nvarchar(50) {binary} not null,
    progress nvarchar(max) not null
);

create unique index instances_by_id on {schema}.instances (hub, instance_id);

create index instances_by_creation on {schema}.instances (hub, is_entity, created_at, instance_id);

-- What an execution was started with. Apart from the record, so that a turn that changes the
-- record does not write a large input again.
create table {schema}.origins (
    number bigint not null primary key,
    body nvarchar(max) not null
);

-- Events as a turn appended them: a JSON array for those from first_event on.
create table {schema}.history (
    number bigint not null,
    first_event int not null,
    body nvarchar(max) not null,
    primary key (number, first_event)
);

-- seq: taken before the commit, so it orders only messages of which one was stored before the other
-- was sent. delivered_epoch: the lease epoch under which the owner has it in memory, 0 for none.
create table {schema}.messages (
    seq bigint identity(1, 1) not null primary key,
    hub int not null,
    id nvarchar(800) {binary} not null,
    partition int not null,
    instance_id nvarchar(450) {binary} not null check (instance_id not like N'% '),
    execution_id nvarchar(430) {binary} not null,
    sender nvarchar(450) not null,
    event nvarchar(max) not null,
    delivered_epoch bigint not null
);

create unique index messages_by_id on {schema}.messages (hub, id);

create index messages_by_instance on {schema}.messages (hub, instance_id);

create index messages_undelivered on {schema}.messages (hub, partition) where delivered_epoch = 0;

-- Of the current execution: none outlives its own.
create table {schema}.timers (
    hub int not null,
    number bigint not null,
    task_id int not null,
    partition int not null,
    fire_at bigint not null,
    primary key (number, task_id)
);

create index timers_by_time on {schema}.timers (hub, partition, fire_at);

-- holder: the host that runs the call or has it in its queue, null when nobody has. offered: the
-- name of the activity in lower case, while any host may claim the call; offer: ascending, so that
-- a new one is noticed. The execution may be a former one: calls go on after continue-as-new.
create table {schema}.activities (
    hub int not null,
    number bigint not null,
    execution_id nvarchar(430) {binary} not null,
    task_id int not null,
    partition int not null,
    attempt int not null,
    holder nvarchar(200) {binary} null,
    offered nvarchar(400) {binary} null,
    offer bigint null,
    body nvarchar(max) not null,
    primary key (number, execution_id, task_id)
);

create index activities_by_partition on {schema}.activities (hub, partition);

create index activities_offered on {schema}.activities (hub, offer) where offered is not null;

create sequence {schema}.offers as bigint start with 1 increment by 1;

-- version: of the whole table, so that a record that is written anew never repeats one.
create table {schema}.records (
    hub int not null,
    [key] nvarchar(400) {binary} not null check ([key] not like N'% '),
    version bigint identity(1, 1) not null,
    value nvarchar(max) not null,
    primary key (hub, [key])
);

create table {schema}.record_holds (
    hub int not null,
    [key] nvarchar(400) {binary} not null check ([key] not like N'% '),
    holder nvarchar(200) {binary} not null,
    primary key (hub, [key])
);
