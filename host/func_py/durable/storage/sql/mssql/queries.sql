-- Every statement the provider executes, by name. With `-- rows: a bigint, b nvarchar(max)`, `{rows}` is
-- a table `rows` of the values handed over; `$1` are single values; `{hub}` is the number of the hub,
-- `{schema}` its schema, `{binary}` the collation of keys: what comes from outside of a table has the
-- database's, which SQL Server does not compare with another one.
--
-- Keys of rows are declared longer than their columns: what is too long is refused, or found nowhere,
-- and never cut to a key that exists. Where rows lead to rows of a table, `loop` says
-- how, and in which order: the server cannot know how few they are, and would read, and lock, the
-- whole table.
--
-- Where an id is looked for, a `.` is put behind it as well: of blanks at the end `=` knows nothing.

-- ---- transactions ------------------------------------------------------------------------------

-- name: begin
begin transaction

-- name: lock
set nocount on;
declare @granted int;
exec @granted = sp_getapplock
    @Resource = $1, @LockMode = $2, @LockOwner = 'Transaction', @LockTimeout = $3;
select @granted;

-- name: enter
-- The lock, then a mark that shows whether this transaction was committed, then what others did.
set nocount on;
declare @granted int;
exec @granted = sp_getapplock
    @Resource = $1, @LockMode = $2, @LockOwner = 'Transaction', @LockTimeout = $3;
if @granted >= 0 and $4 <> ''
begin
    update {schema}.commits set number = $5 where host_id = $4;
    if @@rowcount = 0 insert into {schema}.commits (host_id, number) values ($4, $5);
end;
select
    @granted,
    (select coalesce(sum(epoch), 0) from {schema}.partitions where hub = {hub} and holder = $4),
    (select coalesce(max(offer), 0) from {schema}.activities
     where hub = {hub} and offered is not null),
    (select string_agg(cast(concat(number, case when functions = '[]' then '-' else '+' end)
                            as nvarchar(max)), ',') within group (order by number)
     from {schema}.hosts where hub = {hub}),
    (select string_agg(cast(concat(partition, ':', epoch) as nvarchar(max)), ',')
                within group (order by partition)
     from {schema}.partitions where hub = {hub} and holder is null),
    case when exists (
        select 1 from {schema}.messages
        where hub = {hub} and delivered_epoch = 0
          and partition in (
              select partition from {schema}.partitions where hub = {hub} and holder = $4))
    then 1 else 0 end;

-- name: concerns
select
    (select coalesce(sum(epoch), 0) from {schema}.partitions where hub = {hub} and holder = $1),
    (select coalesce(max(offer), 0) from {schema}.activities
     where hub = {hub} and offered is not null),
    (select string_agg(cast(concat(number, case when functions = '[]' then '-' else '+' end)
                            as nvarchar(max)), ',') within group (order by number)
     from {schema}.hosts where hub = {hub}),
    (select string_agg(cast(concat(partition, ':', epoch) as nvarchar(max)), ',')
                within group (order by partition)
     from {schema}.partitions where hub = {hub} and holder is null),
    case when exists (
        select 1 from {schema}.messages
        where hub = {hub} and delivered_epoch = 0
          and partition in (
              select partition from {schema}.partitions where hub = {hub} and holder = $1))
    then 1 else 0 end

-- name: commit
commit transaction

-- name: rollback
if @@trancount > 0 rollback transaction

-- name: commit_mark
-- Not the version before: whoever is committing at this moment is waited for.
select number from {schema}.commits with (readcommittedlock) where host_id = $1

-- name: begin_change
save transaction change

-- name: undo_change
rollback transaction change

-- name: end_change
-- Nothing: a savepoint is replaced by the next one.

-- ---- the hub -----------------------------------------------------------------------------------

-- name: database
select
    cast(serverproperty('ProductMajorVersion') as int),
    cast(serverproperty('EngineEdition') as int),
    d.compatibility_level,
    cast(d.is_read_committed_snapshot_on as int),
    db_name()
from sys.databases d
where d.database_id = db_id()

-- name: has_database
select count(*) from sys.databases where name = $1

-- name: tables
select t.name from sys.tables t join sys.schemas s on s.schema_id = t.schema_id where s.name = $1

-- name: has_schema
select count(*) from sys.schemas where name = $1

-- name: schema_version
select version from {schema}.schema_version

-- name: create_schema_version
create table {schema}.schema_version (version int not null)

-- name: insert_schema_version
insert into {schema}.schema_version (version) values (0)

-- name: set_schema_version
update {schema}.schema_version set version = $1

-- name: hub
select number from {schema}.hubs where name = $1

-- name: insert_hub
insert into {schema}.hubs (name, partition_count)
select new.name, new.partition_count
from (select $1 as name, $2 as partition_count) new
where not exists (
    select 1 from {schema}.hubs h with (updlock, holdlock) where h.name = new.name {binary})

-- name: partition_count
select partition_count from {schema}.hubs where number = {hub}

-- name: insert_partitions
-- rows: partition int
insert into {schema}.partitions (hub, partition, holder, epoch, commit_number)
select {hub}, partition, null, 0, 0 from {rows}

-- name: delete_hub_origins
delete from {schema}.origins
where number in (select number from {schema}.instances where hub = {hub})

-- name: delete_hub_history
delete from {schema}.history
where number in (select number from {schema}.instances where hub = {hub})

-- name: delete_hub_instances
delete from {schema}.instances where hub = {hub}

-- name: delete_hub_messages
delete from {schema}.messages where hub = {hub}

-- name: delete_hub_timers
delete from {schema}.timers where hub = {hub}

-- name: delete_hub_activities
delete from {schema}.activities where hub = {hub}

-- name: delete_hub_records
delete from {schema}.records where hub = {hub}

-- name: delete_hub_record_holds
delete from {schema}.record_holds where hub = {hub}

-- name: delete_hub_partitions
delete from {schema}.partitions where hub = {hub}

-- name: delete_hub_commits
delete from {schema}.commits
where host_id in (select host_id from {schema}.hosts where hub = {hub})

-- name: delete_hub_hosts
delete from {schema}.hosts where hub = {hub}

-- name: delete_hub
delete from {schema}.hubs where number = {hub}

-- ---- hosts and partitions ----------------------------------------------------------------------

-- name: hosts
select host_id, boot_id, started_at, functions
from {schema}.hosts where hub = {hub}
order by started_at, host_id

-- name: insert_host
merge into {schema}.hosts with (holdlock) as h
using (
    select $1 as host_id, $2 as boot_id, $3 as started_at, $4 as functions, $5 as lease_ms) as new
on h.host_id = new.host_id {binary}
when matched then update set renewed_at = sysutcdatetime()
when not matched then insert (hub, host_id, boot_id, started_at, functions, lease_ms)
    values ({hub}, new.host_id, new.boot_id, new.started_at, new.functions, new.lease_ms);

-- name: renew_host
update {schema}.hosts set renewed_at = sysutcdatetime() where hub = {hub} and host_id = $1

-- name: host_is_alive
select case when exists (
    select 1 from {schema}.hosts
    where hub = {hub} and host_id = $1
      and dateadd(millisecond, lease_ms, renewed_at) > sysutcdatetime())
then 1 else 0 end

-- name: host_alive_until
select datediff_big(microsecond, '1970-01-01', dateadd(millisecond, lease_ms, renewed_at))
from {schema}.hosts where hub = {hub} and host_id = $1

-- name: host_number
select number from {schema}.hosts where host_id = $1

-- name: publish
update {schema}.hosts set functions = $1 where hub = {hub} and host_id = $2

-- name: delete_host
set nocount on;
delete from {schema}.commits where host_id = $1;
delete from {schema}.hosts where hub = {hub} and host_id = $1;

-- name: held_partitions
select partition, epoch from {schema}.partitions where hub = {hub} and holder = $1

-- name: holders
select holder from {schema}.partitions
where hub = {hub} and holder is not null
  and partition in (select cast(value as int) from openjson($1))

-- name: acquire_partition
update {schema}.partitions set holder = $1, epoch = epoch + 1
where hub = {hub} and partition = $2
  and (holder is null or holder not in (select host_id from {schema}.hosts where hub = {hub}))

-- name: lease
select holder, epoch from {schema}.partitions where hub = {hub} and partition = $1

-- name: release_partition
update {schema}.partitions set holder = null
where hub = {hub} and partition = $1 and epoch = $2 and holder = $3

-- name: release_all_partitions
update {schema}.partitions set holder = null where hub = {hub} and holder = $1

-- name: fence_partitions
-- rows: partition int, epoch bigint, holder nvarchar(201)
update p set commit_number = p.commit_number + 1
from {rows} inner loop join {schema}.partitions p
  on p.hub = {hub}
 and p.partition = rows.partition
 and p.epoch = rows.epoch
 and p.holder = rows.holder {binary}

-- ---- instances ---------------------------------------------------------------------------------

-- name: insert_instances
-- rows: number bigint, instance_id nvarchar(451), execution_id nvarchar(431), turns bigint, history_length int, is_entity bit, created_at bigint, status nvarchar(50), progress nvarchar(max), large_output nvarchar(max)
insert into {schema}.instances (
    hub, number, instance_id, execution_id, turns, history_length, is_entity, created_at, status,
    progress, large_output)
select
    {hub}, rows.number, rows.instance_id, rows.execution_id, rows.turns, rows.history_length,
    rows.is_entity, rows.created_at, rows.status, rows.progress, rows.large_output
from {rows}
where not exists (
    select 1 from {schema}.instances i with (updlock, holdlock)
    where i.hub = {hub} and i.instance_id = rows.instance_id {binary})
order by rows.instance_id {binary}

-- name: update_instances
-- rows: number bigint, fence_turns bigint, execution_id nvarchar(431), history_length int, status nvarchar(50), progress nvarchar(max), large_output nvarchar(max)
update i set
    execution_id = rows.execution_id,
    turns = i.turns + 1,
    history_length = rows.history_length,
    status = rows.status,
    progress = rows.progress,
    large_output = rows.large_output
from {rows} inner loop join {schema}.instances i
  on i.number = rows.number and i.turns = rows.fence_turns

-- name: upsert_origins
-- rows: number bigint, body nvarchar(max), large_input nvarchar(max)
merge into {schema}.origins with (holdlock) as o
using (select number, body, large_input from {rows}) as new
on o.number = new.number
when matched then update set body = new.body, large_input = new.large_input
when not matched then
    insert (number, body, large_input) values (new.number, new.body, new.large_input);

-- name: instance_status
select number, execution_id, status
from {schema}.instances i
where i.hub = {hub} and i.instance_id = $1 and i.instance_id + '.' = $1 + '.'

-- name: instance
select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body, o.large_input, i.large_output
from {schema}.instances i join {schema}.origins o on o.number = i.number
where i.hub = {hub} and i.instance_id = $1 and i.instance_id + '.' = $1 + '.'

-- name: instance_with_history
select i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
       i.progress, o.body, o.large_input, i.large_output,
       coalesce(
           (select '[' + string_agg(cast('"' as nvarchar(max)) + string_escape(page.body, 'json')
                                    + '"', ',') within group (order by page.first_event) + ']'
            from (
                select top (4096) h.first_event, h.body,
                       sum(datalength(h.body) / 2) over (
                           order by h.first_event rows unbounded preceding)
                           - datalength(h.body) / 2 as before
                from {schema}.history h
                where h.number = i.number and h.first_event >= $2
                order by h.first_event) page
            where page.before < $3),
           '[]')
from {schema}.instances i join {schema}.origins o on o.number = i.number
where i.hub = {hub} and i.instance_id = $1 and i.instance_id + '.' = $1 + '.'

-- name: query_instances
select top (cast($8 as bigint))
    i.number, i.instance_id, i.execution_id, i.turns, i.history_length, i.created_at, i.status,
    i.progress, o.body, case when $9 = 1 then o.large_input end,
    case when $10 = 1 then i.large_output end
from {schema}.instances i join {schema}.origins o on o.number = i.number
where i.hub = {hub} and i.is_entity = $1
  and i.created_at >= $2 and i.created_at <= $3
  and (i.created_at > $4 or (i.created_at = $4 and i.instance_id > $5))
  and (datalength($6) = 0 or charindex($6, i.instance_id) = 1)
  and ($7 = '' or i.status in (
      select value {binary} from openjson(case when $7 = '' then '[]' else $7 end)))
order by i.created_at, i.instance_id

-- name: delete_instance
delete from {schema}.instances where number = $1

-- name: delete_origin
delete from {schema}.origins where number = $1

-- name: delete_history
delete from {schema}.history where number = $1

-- name: delete_messages_of_instance
delete from {schema}.messages where hub = {hub} and instance_id = $1

-- name: delete_timers_of_instance
delete from {schema}.timers where number = $1

-- name: delete_activities_of_instance
delete from {schema}.activities where number = $1

-- ---- history -----------------------------------------------------------------------------------

-- name: history_page
select i.number, i.execution_id, i.turns, i.history_length,
       coalesce(
           (select '[' + string_agg(cast('"' as nvarchar(max)) + string_escape(page.body, 'json')
                                    + '"', ',') within group (order by page.first_event) + ']'
            from (
                select top (4096) h.first_event, h.body,
                       sum(datalength(h.body) / 2) over (
                           order by h.first_event rows unbounded preceding)
                           - datalength(h.body) / 2 as before
                from {schema}.history h
                where h.number = i.number and h.first_event >= $2
                order by h.first_event) page
            where page.before < $3),
           '[]')
from {schema}.instances i
where i.hub = {hub} and i.instance_id = $1 and i.instance_id + '.' = $1 + '.'

-- name: delete_histories
-- rows: number bigint
delete h
from {rows} inner loop join {schema}.history h on h.number = rows.number

-- name: insert_history
-- rows: number bigint, first_event int, body nvarchar(max)
insert into {schema}.history (number, first_event, body)
select number, first_event, body from {rows}

-- ---- messages ----------------------------------------------------------------------------------

-- name: insert_messages
-- rows: id nvarchar(801), partition int, instance_id nvarchar(451), execution_id nvarchar(431), sender nvarchar(451), event nvarchar(max), whole nvarchar(max), delivered_epoch bigint, position int
insert into {schema}.messages (
    hub, id, partition, instance_id, execution_id, sender, event, whole, delivered_epoch)
select
    {hub}, rows.id, rows.partition, rows.instance_id, rows.execution_id, rows.sender, rows.event,
    rows.whole, rows.delivered_epoch
from {rows}
where (left(rows.instance_id, 1) = '@' or exists (
        select 1 from {schema}.instances i
        where i.hub = {hub} and i.instance_id = rows.instance_id {binary}))
  and not exists (
    select 1 from {schema}.messages m with (updlock, holdlock)
    where m.hub = {hub} and m.id = rows.id {binary})
order by rows.position

-- name: delete_messages
-- rows: id nvarchar(801)
delete m
from {rows} inner loop join {schema}.messages m on m.hub = {hub} and m.id = rows.id {binary}

-- name: pending_messages
select m.id, m.instance_id, m.execution_id, m.sender, m.event,
       case when m.whole is null then 0 else 1 end, i.number, i.execution_id, o.body
from {schema}.messages m
left join {schema}.instances i
  on i.hub = {hub} and i.instance_id = m.instance_id and i.turns = 0
left join {schema}.origins o on o.number = i.number
where m.hub = {hub} and m.partition = $1
order by m.seq

-- name: undelivered_messages
select m.id, m.instance_id, m.execution_id, m.sender, m.event,
       case when m.whole is null then 0 else 1 end, i.number, i.execution_id, o.body
from {schema}.messages m
left join {schema}.instances i
  on i.hub = {hub} and i.instance_id = m.instance_id and i.turns = 0
left join {schema}.origins o on o.number = i.number
where m.hub = {hub} and m.partition = $1 and m.delivered_epoch = 0
order by m.seq

-- name: whole_message
select m.id, m.instance_id, m.execution_id, m.sender, coalesce(m.whole, m.event), 0, i.number,
       i.execution_id, o.body
from {schema}.messages m
left join {schema}.instances i
  on i.hub = {hub} and i.instance_id = m.instance_id and i.turns = 0
left join {schema}.origins o on o.number = i.number
where m.hub = {hub} and m.id = $1

-- name: note_pending
update {schema}.messages set delivered_epoch = $1
where hub = {hub} and partition = $2 and delivered_epoch <> $1

-- name: note_delivered
-- rows: id nvarchar(801), epoch bigint
update m set delivered_epoch = rows.epoch
from {rows} inner loop join {schema}.messages m on m.hub = {hub} and m.id = rows.id {binary}

-- ---- timers ------------------------------------------------------------------------------------

-- name: insert_timers
-- rows: number bigint, task_id int, partition int, fire_at bigint
insert into {schema}.timers (hub, number, task_id, partition, fire_at)
select {hub}, number, task_id, partition, fire_at from {rows}

-- name: delete_timers
-- rows: number bigint, task_id int
delete t
from {rows} inner loop join {schema}.timers t on t.number = rows.number and t.task_id = rows.task_id

-- name: delete_timers_of_instances
-- rows: number bigint
delete t
from {rows} inner loop join {schema}.timers t on t.number = rows.number

-- name: timers_until
select i.instance_id, i.execution_id, t.task_id, t.fire_at
from {schema}.timers t join {schema}.instances i on i.number = t.number
where t.hub = {hub} and t.partition = $1 and t.fire_at < $2
order by t.fire_at, t.number, t.task_id

-- name: timers
select i.instance_id, i.execution_id, t.task_id, t.fire_at
from {schema}.timers t join {schema}.instances i on i.number = t.number
where t.hub = {hub} and t.partition = $1 and t.fire_at >= $2 and t.fire_at < $3
order by t.fire_at, t.number, t.task_id

-- ---- activities --------------------------------------------------------------------------------

-- name: insert_activities
-- rows: number bigint, execution_id nvarchar(431), task_id int, partition int, attempt int, holder nvarchar(201), body nvarchar(max), large_input nvarchar(max)
insert into {schema}.activities (
    hub, number, execution_id, task_id, partition, attempt, holder, body, large_input)
select {hub}, number, execution_id, task_id, partition, attempt, holder, body, large_input
from {rows}

-- name: delete_activities
-- rows: number bigint, execution_id nvarchar(431), task_id int
delete a
from {rows} inner loop join {schema}.activities a
  on a.number = rows.number
 and a.execution_id = rows.execution_id {binary}
 and a.task_id = rows.task_id

-- name: discard_activities
-- rows: instance_id nvarchar(451), execution_id nvarchar(431), task_id int
delete a
from {rows}
inner loop join {schema}.instances i on i.hub = {hub} and i.instance_id = rows.instance_id {binary}
inner loop join {schema}.activities a
  on a.number = i.number
 and a.execution_id = rows.execution_id {binary}
 and a.task_id = rows.task_id

-- name: delete_activities_of_executions
-- rows: number bigint, execution_id nvarchar(431)
delete a
from {rows} inner loop join {schema}.activities a
  on a.number = rows.number and a.execution_id = rows.execution_id {binary}

-- name: complete_activities
-- rows: instance_id nvarchar(451), execution_id nvarchar(431), task_id int, holder nvarchar(201)
delete a
from {rows}
inner loop join {schema}.instances i on i.hub = {hub} and i.instance_id = rows.instance_id {binary}
inner loop join {schema}.activities a
  on a.number = i.number
 and a.execution_id = rows.execution_id {binary}
 and a.task_id = rows.task_id
 and a.holder = rows.holder {binary}

-- name: offer_activities
-- rows: instance_id nvarchar(451), execution_id nvarchar(431), task_id int, offered nvarchar(401), holder nvarchar(201)
update a set holder = null, offered = rows.offered, offer = next value for {schema}.offers
from {rows}
inner loop join {schema}.instances i on i.hub = {hub} and i.instance_id = rows.instance_id {binary}
inner loop join {schema}.activities a
  on a.number = i.number
 and a.execution_id = rows.execution_id {binary}
 and a.task_id = rows.task_id
 and a.holder = rows.holder {binary}

-- name: offered_activities
select top (cast($2 as bigint)) i.instance_id, a.execution_id, a.task_id, a.attempt, a.body,
       case when a.large_input is null then 0 else 1 end
from {schema}.activities a join {schema}.instances i on i.number = a.number
where a.hub = {hub} and a.offered is not null
  and a.offered in (select value {binary} from openjson($1))
order by a.offer

-- name: claim_activities
-- rows: instance_id nvarchar(451), execution_id nvarchar(431), task_id int, holder nvarchar(201)
update a set holder = rows.holder, offered = null
from {rows}
inner loop join {schema}.instances i on i.hub = {hub} and i.instance_id = rows.instance_id {binary}
inner loop join {schema}.activities a
  on a.number = i.number
 and a.execution_id = rows.execution_id {binary}
 and a.task_id = rows.task_id

-- name: unheld_activities
select i.instance_id, a.execution_id, a.task_id,
       a.attempt + case when a.holder is null then 0 else 1 end, a.body,
       case when a.large_input is null then 0 else 1 end
from {schema}.activities a join {schema}.instances i on i.number = a.number
where a.hub = {hub} and a.partition = $1
  and (a.holder is null
       or a.holder not in (select host_id from {schema}.hosts where hub = {hub}))
order by a.number, a.execution_id, a.task_id

-- name: take_back_activities
update {schema}.activities set
    attempt = attempt + case when holder is null then 0 else 1 end, holder = $1, offered = null
where hub = {hub} and partition = $2
  and (holder is null or holder not in (select host_id from {schema}.hosts where hub = {hub}))

-- name: adopt_activities
update {schema}.activities set holder = $1, offered = null, attempt = attempt + 1
where hub = {hub} and partition = $2
  and (holder is null or holder = $1
       or holder not in (select host_id from {schema}.hosts where hub = {hub}))

-- name: held_activities
select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body,
       case when a.large_input is null then 0 else 1 end
from {schema}.activities a join {schema}.instances i on i.number = a.number
where a.hub = {hub} and a.partition = $1 and a.holder = $2
order by a.number, a.execution_id, a.task_id

-- name: whole_activity
select i.instance_id, a.execution_id, a.task_id, a.attempt, a.body, a.large_input
from {schema}.instances i join {schema}.activities a on a.number = i.number
where i.hub = {hub} and i.instance_id = $1 and i.instance_id + '.' = $1 + '.'
  and a.execution_id = $2 and a.task_id = $3

-- name: held_activity_keys
select i.instance_id, a.execution_id, a.task_id
from {schema}.activities a join {schema}.instances i on i.number = a.number
where a.hub = {hub} and a.partition = $1 and a.holder = $2

-- name: activity_holders
select a.task_id, coalesce(a.holder, '')
from {schema}.activities a
join {schema}.instances i on i.number = a.number and i.execution_id = a.execution_id
where i.hub = {hub} and i.instance_id = $1 and i.instance_id + '.' = $1 + '.'

-- name: free_activities
update {schema}.activities set holder = null
where hub = {hub} and partition = $1 and holder = $2

-- name: free_all_activities
update {schema}.activities set holder = null where hub = {hub} and holder = $1

-- ---- records -----------------------------------------------------------------------------------

-- name: record
select value, version from {schema}.records where hub = {hub} and [key] = $1

-- name: insert_record
insert into {schema}.records (hub, [key], value)
select {hub}, new.[key], new.value
from (select $1 as [key], $2 as value) new
where not exists (
    select 1 from {schema}.records r with (updlock, holdlock)
    where r.hub = {hub} and r.[key] = new.[key] {binary})

-- name: delete_record
delete from {schema}.records where hub = {hub} and [key] = $1 and version = $2

-- name: record_holder
select holder from {schema}.record_holds where hub = {hub} and [key] = $1

-- name: hold_record
merge into {schema}.record_holds with (holdlock) as r
using (
    select $1 as [key], host_id from {schema}.hosts where hub = {hub} and host_id = $2) as new
on r.hub = {hub} and r.[key] = new.[key] {binary}
when matched then update set holder = new.host_id
when not matched then insert (hub, [key], holder) values ({hub}, new.[key], new.host_id);

-- name: release_record
delete from {schema}.record_holds where hub = {hub} and [key] = $1 and holder = $2

-- name: release_all_records
delete from {schema}.record_holds where hub = {hub} and holder = $1
