-- How long a host lives without a sign of life is its own word, no longer the hub's: hosts with
-- different settings judge each other alike.
alter table hosts add column lease_ms integer not null default 15000 check (lease_ms > 0);

alter table hosts alter column lease_ms drop default;

alter table hubs drop column lease_ms;
