/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a cluster balances: lb_policy with the cluster's older fields, or one of the typed policies of
 * load_balancing_policy, to lb_config. Says which of both holds; cluster_config_finish checks the numbers.
 */
#include "config/builder.h"

#include "base/assert.h"

#include <envoy/extensions/load_balancing_policies/least_request/v3/least_request.pb-c.h>
#include <envoy/extensions/load_balancing_policies/maglev/v3/maglev.pb-c.h>
#include <envoy/extensions/load_balancing_policies/random/v3/random.pb-c.h>
#include <envoy/extensions/load_balancing_policies/ring_hash/v3/ring_hash.pb-c.h>
#include <envoy/extensions/load_balancing_policies/round_robin/v3/round_robin.pb-c.h>
#include <envoy/extensions/load_balancing_policies/wrr_locality/v3/wrr_locality.pb-c.h>

#define LB_CASE(name)     ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_POLICY__##name
#define CONFIG_CASE(name) ENVOY__CONFIG__CLUSTER__V3__CLUSTER__LB_CONFIG_##name##_LB_CONFIG

typedef Envoy__Config__Cluster__V3__Cluster cluster_message;
typedef Envoy__Config__Cluster__V3__Cluster__CommonLbConfig common_message;
typedef Envoy__Config__Cluster__V3__LoadBalancingPolicy policy_message;
typedef Envoy__Extensions__LoadBalancingPolicies__Common__V3__LocalityLbConfig locality_message;
typedef Envoy__Extensions__LoadBalancingPolicies__Common__V3__ConsistentHashingLbConfig consistent_message;

/* Both messages have the same fields. */
#define SLOW_START(b, in, lb)                                                                                \
    do {                                                                                                     \
        if (!(in))                                                                                           \
            break;                                                                                           \
        (lb)->slow_start_window_ms = builder_ms((in)->slow_start_window, 0);                                 \
        if ((in)->aggression)                                                                                \
            (lb)->slow_start_aggression = builder_runtime_double((b), (in)->aggression);                     \
        if ((in)->min_weight_percent)                                                                        \
            (lb)->slow_start_min_weight = (in)->min_weight_percent->value / 100.0;                           \
    } while (0)

/* A size that its field limits to 8 Mi. */
static uint32_t size_of(const Google__Protobuf__UInt64Value *v, uint32_t unset)
{
    if (!v)
        return unset;
    return v->value < UINT32_MAX ? (uint32_t)v->value : UINT32_MAX;
}

/* --- the older fields --- */

static void older_policy(const cluster_message *in, struct lb_config *lb)
{
    switch (in->lb_policy) {
    case LB_CASE(LEAST_REQUEST):
        lb->policy = LB_LEAST_REQUEST;
        break;
    case LB_CASE(RANDOM):
        lb->policy = LB_RANDOM;
        break;
    case LB_CASE(RING_HASH):
        lb->policy = LB_RING_HASH;
        break;
    case LB_CASE(MAGLEV):
        lb->policy = LB_MAGLEV;
        break;
    default:
        lb->policy = LB_ROUND_ROBIN;
        break;
    }
}

/* The options of the policy; those of another one have no effect, as in Envoy. */
static void older_options(struct builder *b, const cluster_message *in, struct lb_config *lb)
{
    if (in->lb_config_case == CONFIG_CASE(LEAST_REQUEST) && lb->policy == LB_LEAST_REQUEST) {
        lb->least_request_choices =
            builder_u32(in->least_request_lb_config->choice_count, lb->least_request_choices);
        if (in->least_request_lb_config->active_request_bias)
            lb->active_request_bias =
                builder_runtime_double(b, in->least_request_lb_config->active_request_bias);
        SLOW_START(b, in->least_request_lb_config->slow_start_config, lb);
    } else if (in->lb_config_case == CONFIG_CASE(ROUND_ROBIN) && lb->policy == LB_ROUND_ROBIN) {
        SLOW_START(b, in->round_robin_lb_config->slow_start_config, lb);
    } else if (in->lb_config_case == CONFIG_CASE(RING_HASH) && lb->policy == LB_RING_HASH) {
        lb->ring_size_min = size_of(in->ring_hash_lb_config->minimum_ring_size, lb->ring_size_min);
        lb->ring_size_max = size_of(in->ring_hash_lb_config->maximum_ring_size, lb->ring_size_max);
        lb->ring_murmur =
            in->ring_hash_lb_config->hash_function ==
            ENVOY__CONFIG__CLUSTER__V3__CLUSTER__RING_HASH_LB_CONFIG__HASH_FUNCTION__MURMUR_HASH_2;
    } else if (in->lb_config_case == CONFIG_CASE(MAGLEV) && lb->policy == LB_MAGLEV) {
        lb->maglev_size = size_of(in->maglev_lb_config->table_size, lb->maglev_size);
    }
}

/* --- zones --- */

/* Rounded, as Envoy does. */
static uint32_t percent(const Envoy__Type__V3__Percent *in)
{
    return (uint32_t)(in->value + 0.5);
}

static void
zone(const Envoy__Extensions__LoadBalancingPolicies__Common__V3__LocalityLbConfig__ZoneAwareLbConfig *in,
     struct lb_config *lb)
{
    if (in->routing_enabled)
        lb->zone_routing_percent = percent(in->routing_enabled);
    if (in->min_cluster_size)
        lb->zone_min_size = in->min_cluster_size->value;
    lb->zone_by_weight =
        in->locality_basis ==
        ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__ZONE_AWARE_LB_CONFIG__LOCALITY_BASIS__HEALTHY_HOSTS_WEIGHT;
    if (in->force_local_zone)
        lb->zone_direct_min = builder_u32(in->force_local_zone->min_size, 1);
    else if (in->force_locality_direct_routing)
        lb->zone_direct_min = 1;
}

/* Zones count for every cluster but that of the proxies themselves, whatever it says about them (Envoy). */
static void zones(struct builder *b, struct cluster_config *c)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap *in = config_bootstrap(b->doc);
    const char *local = in->cluster_manager ? in->cluster_manager->local_cluster_name : "";
    const Envoy__Config__Core__V3__Locality *place = in->node ? in->node->locality : NULL;
    uint64_t n;
    if (!local[0])
        return;
    c->is_local = slice_eq(c->name, slice_str(local));
    c->lb.zone_aware = !c->is_local && !lb_hashes(c);
    c->lb.zone_divides = c->lb.zone_aware || c->is_local;
    c->lb.node_locality[0] = builder_text(b, &c->arena, place ? place->region : "");
    c->lb.node_locality[1] = builder_text(b, &c->arena, place ? place->zone : "");
    c->lb.node_locality[2] = builder_text(b, &c->arena, place ? place->sub_zone : "");
    builder_runtime_percent(b, &c->lb.zone_routing_percent, "upstream.zone_routing.enabled");
    if (builder_runtime_u64(b, "upstream.zone_routing.min_cluster_size", &n))
        c->lb.zone_min_size = n;
    if (c->lb.zone_direct_min)
        builder_runtime_limit(b, &c->lb.zone_direct_min, "upstream.zone_routing.force_local_zone.min_size");
}

/* --- common_lb_config --- */

static void common(const common_message *in, struct cluster_config *c)
{
    if (!in)
        return;
    if (in->healthy_panic_threshold) /* rounded, as Envoy does */
        c->healthy_panic_threshold = (uint32_t)(in->healthy_panic_threshold->value + 0.5);
    c->update_merge_window_ms = builder_ms(in->update_merge_window, c->update_merge_window_ms);
    c->close_on_host_set_change = in->close_connections_on_host_set_change;
    c->ignore_new_hosts_until_first_hc = in->ignore_new_hosts_until_first_hc;
    if (in->override_host_status) {
        c->lb.override_statuses = 0;
        for (size_t i = 0; i < in->override_host_status->n_statuses; i++)
            c->lb.override_statuses |= 1u << in->override_host_status->statuses[i];
    }
    if (in->consistent_hashing_lb_config) {
        c->lb.hash_hostname = in->consistent_hashing_lb_config->use_hostname_for_hashing;
        c->lb.hash_balance_factor = builder_u32(in->consistent_hashing_lb_config->hash_balance_factor, 0);
    }
    switch (in->locality_config_specifier_case) {
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG:
        c->lb.locality_weighted = true;
        break;
    case ENVOY__CONFIG__CLUSTER__V3__CLUSTER__COMMON_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_ZONE_AWARE_LB_CONFIG:
        c->lb.fail_traffic_on_panic = in->zone_aware_lb_config->fail_traffic_on_panic;
        if (in->zone_aware_lb_config->routing_enabled)
            c->lb.zone_routing_percent = percent(in->zone_aware_lb_config->routing_enabled);
        if (in->zone_aware_lb_config->min_cluster_size)
            c->lb.zone_min_size = in->zone_aware_lb_config->min_cluster_size->value;
        break;
    default:
        break;
    }
}

/* --- load_balancing_policy --- */

static void locality(const locality_message *in, struct lb_config *lb)
{
    if (!in)
        return;
    switch (in->locality_config_specifier_case) {
    case ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_LOCALITY_WEIGHTED_LB_CONFIG:
        lb->locality_weighted = true;
        break;
    case ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__COMMON__V3__LOCALITY_LB_CONFIG__LOCALITY_CONFIG_SPECIFIER_ZONE_AWARE_LB_CONFIG:
        lb->fail_traffic_on_panic = in->zone_aware_lb_config->fail_traffic_on_panic;
        zone(in->zone_aware_lb_config, lb);
        break;
    default:
        break;
    }
}

/* A cluster's own, which count instead of a route's. */
static void hash_policies(struct builder *b, const consistent_message *in, struct cluster_config *c)
{
    struct builder_finish finish;
    struct hash_policies *policies =
        in->n_hash_policy > 0 ? builder_array(b, &c->arena, 1, sizeof *policies) : NULL;
    if (!policies)
        return;
    builder_finish_init(&finish, b, &in->base);
    builder_hash_policies(b, &c->arena, in->hash_policy, in->n_hash_policy, policies);
    hash_policies_finish(policies, "hash_policy", &finish.errors);
    for (uint32_t i = 0; i < policies->count; i++) {
        if (policies->items[i].generate)
            builder_error(b, in, "hash_policy", "a cluster makes no cookies; leave out ttl");
    }
    c->lb.hash_policies = policies;
    c->lb.hash_policies_fini = hash_policies_fini;
}

static void consistent(struct builder *b, const consistent_message *in, struct cluster_config *c)
{
    if (!in)
        return;
    hash_policies(b, in, c);
    c->lb.hash_hostname = in->use_hostname_for_hashing;
    c->lb.hash_balance_factor = builder_u32(in->hash_balance_factor, 0);
}

static void round_robin(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__RoundRobin__V3__RoundRobin *in = (const void *)msg;
    struct lb_config *lb = &c->lb;
    lb->policy = LB_ROUND_ROBIN;
    SLOW_START(b, in->slow_start_config, lb);
    locality(in->locality_lb_config, lb);
}

static void least_request(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__LeastRequest__V3__LeastRequest *in = (const void *)msg;
    struct lb_config *lb = &c->lb;
    lb->policy = LB_LEAST_REQUEST;
    lb->least_request_choices = builder_u32(in->choice_count, lb->least_request_choices);
    lb->least_request_full_scan =
        builder_bool(in->enable_full_scan, false) ||
        in->selection_method ==
            ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__LEAST_REQUEST__V3__LEAST_REQUEST__SELECTION_METHOD__FULL_SCAN;
    if (in->active_request_bias)
        lb->active_request_bias = builder_runtime_double(b, in->active_request_bias);
    SLOW_START(b, in->slow_start_config, lb);
    locality(in->locality_lb_config, lb);
}

static void random_policy(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__Random__V3__Random *in = (const void *)msg;
    struct lb_config *lb = &c->lb;
    (void)b;
    lb->policy = LB_RANDOM;
    locality(in->locality_lb_config, lb);
}

static void ring_hash(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__RingHash__V3__RingHash *in = (const void *)msg;
    struct lb_config *lb = &c->lb;
    lb->policy = LB_RING_HASH;
    lb->ring_size_min = size_of(in->minimum_ring_size, lb->ring_size_min);
    lb->ring_size_max = size_of(in->maximum_ring_size, lb->ring_size_max);
    lb->ring_murmur =
        in->hash_function ==
        ENVOY__EXTENSIONS__LOAD_BALANCING_POLICIES__RING_HASH__V3__RING_HASH__HASH_FUNCTION__MURMUR_HASH_2;
    lb->hash_hostname = in->use_hostname_for_hashing;
    lb->hash_balance_factor = builder_u32(in->hash_balance_factor, 0);
    lb->locality_weighted = in->locality_weighted_lb_config != NULL;
    consistent(b, in->consistent_hashing_lb_config, c);
}

static void maglev(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__Maglev__V3__Maglev *in = (const void *)msg;
    struct lb_config *lb = &c->lb;
    lb->policy = LB_MAGLEV;
    lb->maglev_size = size_of(in->table_size, lb->maglev_size);
    lb->locality_weighted = in->locality_weighted_lb_config != NULL;
    consistent(b, in->consistent_hashing_lb_config, c);
}

#define POLICY_TYPE(room, name)                                                                              \
    &envoy__extensions__load_balancing_policies__##room##__v3__##name##__descriptor

static void typed_policy(struct builder *b, const policy_message *in, struct cluster_config *c);

static void wrr_locality(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__WrrLocality__V3__WrrLocality *in = (const void *)msg;
    if (in->endpoint_picking_policy)
        typed_policy(b, in->endpoint_picking_policy, c);
    c->lb.locality_weighted = true;
}

static void subset(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c)
{
    const Envoy__Extensions__LoadBalancingPolicies__Subset__V3__Subset *in = (const void *)msg;
    if (in->subset_lb_policy)
        typed_policy(b, in->subset_lb_policy, c);
    if (c->lb.subsets)
        builder_error(b, in, "subset_lb_policy",
                      "holds a policy that makes subsets too; write selectors with more keys");
    else
        builder_subset_policy(b, in, c);
}

static void typed_policy(struct builder *b, const policy_message *in, struct cluster_config *c)
{
    static const struct {
        const ProtobufCMessageDescriptor *type;
        void (*make)(struct builder *b, const ProtobufCMessage *msg, struct cluster_config *c);
    } types[] = {
        {POLICY_TYPE(round_robin, round_robin), round_robin},
        {POLICY_TYPE(least_request, least_request), least_request},
        {POLICY_TYPE(random, random), random_policy},
        {POLICY_TYPE(ring_hash, ring_hash), ring_hash},
        {POLICY_TYPE(maglev, maglev), maglev},
        {POLICY_TYPE(wrr_locality, wrr_locality), wrr_locality},
        {POLICY_TYPE(subset, subset), subset},
    };
    /* The first one that is known counts; those that are not were reported already. */
    const ProtobufCMessage *msg =
        in->n_policies > 0 && in->policies[0]->typed_extension_config
            ? config_any_message(b->doc, in->policies[0]->typed_extension_config->typed_config)
            : NULL;
    if (!msg) {
        builder_error(b, in, "policies", "needs a typed_extension_config that holds a policy");
        return;
    }
    for (size_t i = 0; i < WEIR_ARRAY_LEN(types); i++) {
        if (msg->descriptor == types[i].type) {
            types[i].make(b, msg, c);
            return;
        }
    }
    builder_error(b, in, "policies", "%s is no load balancing policy", msg->descriptor->name);
}

static void policy(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    const common_message *shared = in->common_lb_config;
    common(shared, c);
    if (builder_provided(b, in, c))
        return;
    if (c->lb.hash_hostname && c->type == CLUSTER_STATIC) /* as Envoy */
        builder_error(b, shared->consistent_hashing_lb_config, "use_hostname_for_hashing",
                      "needs a cluster of type STRICT_DNS");
    if (!in->load_balancing_policy) {
        if (in->lb_policy == LB_CASE(LOAD_BALANCING_POLICY_CONFIG))
            builder_error(b, in, "lb_policy", "needs load_balancing_policy");
        older_policy(in, &c->lb);
        older_options(b, in, &c->lb);
        builder_subsets(b, in->lb_subset_config, c);
        return;
    }
    if (in->lb_subset_config)
        builder_error(b, in, "lb_subset_config", "cannot be combined with load_balancing_policy");
    if (shared && (shared->locality_config_specifier_case || shared->consistent_hashing_lb_config))
        builder_error(b, in, "load_balancing_policy",
                      "cannot be combined with zone_aware_lb_config, locality_weighted_lb_config or "
                      "consistent_hashing_lb_config of common_lb_config; write them into the policy");
    typed_policy(b, in->load_balancing_policy, c);
}

void builder_lb(struct builder *b, const cluster_message *in, struct cluster_config *c)
{
    policy(b, in, c);
    if (c->lb.subsets && !c->lb.subsets->locality_weight_aware)
        c->lb.locality_weighted = false; /* every balancer picks in some subset, be it that of all hosts */
    zones(b, c);
}
