{{/* A dashboard of Grafana (schema version 39) from the short form in files/dashboards: two panels side by side. */}}
{{- define "shop-operator.dashboard" -}}
{{- $source := dict "type" "prometheus" "uid" "${datasource}" -}}
{{- $variables := list (dict "name" "datasource" "type" "datasource" "query" "prometheus") -}}
{{- range $i, $name := .variables -}}
{{- /* Each is looked for among what the ones before it have left. */ -}}
{{- $known := list -}}
{{- range $before := slice $.variables 0 $i -}}
{{- $known = append $known (printf "%s=\"$%s\"" $before $before) -}}
{{- end -}}
{{- $query := printf "label_values(http_server_active_requests{%s}, %s)" (join ", " $known) $name -}}
{{- $variables = append $variables (dict "name" $name "type" "query" "datasource" $source "refresh" 2 "sort" 1
      "definition" $query "query" (dict "query" $query "refId" $name)) -}}
{{- end -}}
{{- $panels := list -}}
{{- $y := 0 -}}
{{- range $row := .rows -}}
{{- $panels = append $panels (dict "id" (add1 (len $panels)) "type" "row" "title" $row.title "collapsed" false
      "gridPos" (dict "x" 0 "y" $y "w" 24 "h" 1) "panels" list) -}}
{{- $y = add1 $y -}}
{{- range $i, $panel := $row.panels -}}
{{- $targets := list -}}
{{- range $n, $query := $panel.queries -}}
{{- $targets = append $targets (dict "refId" (printf "%c" (add 65 $n)) "datasource" $source
      "expr" $query.expr "legendFormat" $query.legend) -}}
{{- end -}}
{{- $panels = append $panels (dict "id" (add1 (len $panels)) "type" "timeseries" "title" $panel.title "datasource" $source
      "gridPos" (dict "x" (mul 12 (mod $i 2)) "y" (add $y (mul 8 (div $i 2))) "w" 12 "h" 8)
      "fieldConfig" (dict "defaults" (dict "unit" $panel.unit "min" 0) "overrides" list) "targets" $targets) -}}
{{- end -}}
{{- $y = add $y (mul 8 (div (add1 (len $row.panels)) 2)) -}}
{{- end -}}
{{- dict "uid" .uid "title" .title "tags" (list "shop-operator") "schemaVersion" 39 "editable" true "refresh" "30s"
      "time" (dict "from" "now-1h" "to" "now") "templating" (dict "list" $variables) "panels" $panels | toPrettyJson -}}
{{- end -}}
