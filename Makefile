# `make up` gives a store, `make test` proves it. `make help` lists the rest.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

.PHONY: help up down test lint unit services operator model chart cluster-test e2e images generate queries bench soak check-invariants

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

up: ## A cluster, the operator, a shop, an order (CONTEXT=… for a cluster of yours)
	@scripts/up

down: ## Remove the local cluster and the engines of the tests
	@cluster/cluster down
	@cluster/engines down

test: ## Every check there is
	@scripts/test

lint: ## Format, clippy, dependencies, unused dependencies, scripts
	@scripts/test lint

unit: ## Tests that need nothing
	@scripts/test unit

services: ## Each service against real Postgres, Redis and Kafka
	@scripts/test services

operator: ## The operator against a real kube-apiserver
	@scripts/test operator

model: ## What the operator decides, on a model of a cluster: thousands of cases
	@scripts/test model

chart: ## The chart: lint, schemas
	@scripts/test chart

cluster-test: ## The local cluster itself
	@scripts/test cluster

e2e: ## End to end on a real cluster, through the chart
	@scripts/test e2e

images: ## Build the programs and put them into the cluster's nodes
	@scripts/images

generate: ## Write all generated files anew: CRD, protos, schemas, OpenAPI, snapshots
	@scripts/generate

queries: ## Check all SQL against a real Postgres and store what was learned
	@scripts/queries

check-invariants: ## Check what must always hold, from the databases of a running shop (SHOP=demo NAMESPACE=default)
	@scripts/check-invariants

bench: ## Measure; writes docs/performance.md
	@scripts/bench

soak: ## Find what grows while a shop runs (MINUTES=30)
	@scripts/soak
