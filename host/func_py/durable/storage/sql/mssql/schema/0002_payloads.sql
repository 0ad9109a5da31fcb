-- Inputs and results that are large have columns of their own, which are read only when they are
-- needed; the others then are without them.

-- The event with its payload.
alter table {schema}.messages add whole nvarchar(max) null;

alter table {schema}.activities add large_input nvarchar(max) null;

alter table {schema}.origins add large_input nvarchar(max) null;

alter table {schema}.instances add large_output nvarchar(max) null;
