// The types of Grafana's own schema, made strict for a JSON file: a string enumeration takes its words. The compiler judges
// the dashboard that tests/world/dashboard.rs puts below.
import type { AnnotationQuery, Dashboard, Panel, RowPanel } from '@grafana/schema';
import type { Options as StatOptions } from '@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen';
import type {
  FieldConfig as TableFields,
  Options as TableOptions,
} from '@grafana/schema/dist/esm/raw/composable/table/panelcfg/x/TablePanelCfg_types.gen';
import type {
  FieldConfig as TimeSeriesFields,
  Options as TimeSeriesOptions,
} from '@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen';

type Json<T> = T extends string
  ? `${T}`
  : T extends number | boolean | null | undefined
    ? T
    : T extends (infer U)[]
      ? Json<U>[]
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : T;
// What the data source of Prometheus adds to a query, and to an annotation.
type Query = {
  datasource: { type: 'prometheus'; uid: string };
  expr: string;
  refId: string;
  editorMode?: 'code' | 'builder';
  legendFormat?: string;
  instant?: boolean;
  range?: boolean;
  interval?: string;
  format?: 'time_series' | 'table' | 'heatmap';
};
type Annotation = AnnotationQuery<Query> & {
  useValueForTime?: boolean;
  titleFormat?: string;
  textFormat?: string;
  tagKeys?: string;
};
// The one transformation that is used, of which the schema only knows that it has options.
type Organize = {
  id: 'organize';
  options: { excludeByName: Record<string, boolean>; indexByName: Record<string, number>; renameByName: Record<string, string> };
};
type Shown<Type extends string, Options, Fields> = Omit<
  Panel<Record<string, unknown>, Fields>,
  'type' | 'options' | 'targets' | 'transformations'
> & {
  type: Type;
  options: Options;
  targets: Query[];
  transformations?: Organize[];
};
type Known =
  | Shown<'stat', Partial<StatOptions>, Record<string, never>>
  | Shown<'table', Partial<TableOptions>, Partial<TableFields>>
  | Shown<'timeseries', TimeSeriesOptions, TimeSeriesFields>;
type Row = Omit<RowPanel, 'panels'> & { type: 'row'; panels?: Known[] };
type Board = Omit<Dashboard, 'panels' | 'annotations'> & { panels: (Known | Row)[]; annotations: { list: Annotation[] } };

export const dashboard: Json<Board> =
